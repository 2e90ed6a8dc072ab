package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// report is dist/bench.json.
type report struct {
	Date        time.Time   `json:"date"`
	Commit      string      `json:"commit"` // "" outside a repository; ends in + when files were changed
	Machine     string      `json:"machine"`
	Load        string      `json:"load"` // of the machine before the first scenario, over 1, 5 and 15 minutes
	Devices     int         `json:"devices"`
	Repetitions int         `json:"repetitions"`
	Rows        []reportRow `json:"rows"`
}

// reportRow is a figure; value is the median of the repetitions.
type reportRow struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Goal  string  `json:"goal,omitempty"` // such as ">= 0.8"
	Met   *bool   `json:"met,omitempty"`
	// Samples are all that was measured.
	Samples []float64 `json:"samples"`
}

func newReport(ctx context.Context, b *bench) *report {
	return &report{
		Date: time.Now().UTC().Truncate(time.Second), Commit: commit(ctx), Machine: machine(), Load: load(),
		Devices: b.devices, Repetitions: b.repetitions, Rows: []reportRow{},
	}
}

func (r *report) String() string {
	return fmt.Sprintf("%s  commit %s  %d devices, %d repetitions\n%s  load before: %s",
		r.Date.Format(time.DateOnly), r.Commit, r.Devices, r.Repetitions, r.Machine, r.Load)
}

func (r *report) add(scenario string, t table) {
	for _, row := range t.rows {
		v := row.median()
		r.Rows = append(r.Rows, reportRow{
			Name: scenario + "." + row.key, Value: v, Unit: row.unit, Goal: row.goal.String(), Met: row.goal.met(v), Samples: row.samples,
		})
	}
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func commit(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty=+").Output()
	if err != nil {
		return "" // not a checkout
	}
	return string(bytes.TrimSpace(text))
}

// machine names processor, cores and system.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
