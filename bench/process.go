package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// clockTick is USER_HZ, the unit of times in /proc, which is 100 on every Linux that Go runs on.
const clockTick = 100

// cpuSeconds is the CPU time, user and system, that processes have used so far. Only Linux tells.
func cpuSeconds(pids ...int) (float64, error) {
	total := 0.0
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("reading a process's CPU time: %w", err)
		}
		_, after, _ := bytes.Cut(text, []byte(") ")) // the name before it may hold anything
		fields := strings.Fields(string(after))
		if len(fields) < 13 {
			return 0, fmt.Errorf("reading a process's CPU time: %d fields", len(fields))
		}
		for _, field := range fields[11:13] {
			ticks, err := strconv.ParseUint(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("reading a process's CPU time: %w", err)
			}
			total += float64(ticks) / clockTick
		}
	}
	return total, nil
}

// peakMemory is the most memory that a process has had resident, in MiB. Only Linux tells.
func peakMemory(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading a process's memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
			if err != nil {
				return 0, fmt.Errorf("reading a process's memory: %w", err)
			}
			return kib / 1024, nil
		}
	}
	return 0, fmt.Errorf("reading a process's memory: no VmHWM of process %d", pid)
}

// children finds the children of this process whose command line holds text.
func children(text string) ([]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var pids []int
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, after, _ := bytes.Cut(stat, []byte(") "))
		fields := strings.Fields(string(after))
		if len(fields) < 2 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		command, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil || !bytes.Contains(command, []byte(text)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, fmt.Errorf("listing processes: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
