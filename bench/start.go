package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// starts is how often the handler is started.
	starts = 10
	// startWait is how long it may take to answer.
	startWait = time.Minute
)

// coldStart measures what a handler needs from its start until it answers a request: time, and memory. The Functions host and
// the platform, which come before it, are not here.
func coldStart(ctx context.Context, b *bench) (t table, err error) {
	w, err := startWorld(ctx, worldOptions{app: b.app}) // which builds the app
	if err != nil {
		return t, err
	}
	if err := w.close(); err != nil {
		return t, err
	}
	app, err := filepath.Abs(b.appRoot())
	if err != nil {
		return t, fmt.Errorf("finding the app: %w", err)
	}
	var times, memory []float64
	for range starts {
		took, peak, err := startOnce(ctx, app)
		if err != nil {
			return t, err
		}
		times = append(times, float64(took)/float64(time.Millisecond))
		if peak > 0 {
			memory = append(memory, peak)
		}
	}
	t.add("time", "start of the handler to its first answer", "ms", times...).goal = atMost(100)
	if len(memory) > 0 {
		t.add("memory", "most memory of the handler by then", "MiB", memory...).goal = atMost(40e6 / (1 << 20))
	}
	return t, nil
}

// startOnce starts a handler without storage and hub, which it needs for nothing yet, and ends it after its first answer. peak
// is 0 where the system does not tell it.
func startOnce(ctx context.Context, app string) (took time.Duration, peak float64, err error) {
	address, err := freeAddress()
	if err != nil {
		return 0, 0, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, 0, fmt.Errorf("choosing a port: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(app, "handler"))
	cmd.Env = []string{
		"FUNCTIONS_CUSTOMHANDLER_PORT=" + port, "FUNCTIONS_APP_ROOT_PATH=" + app, "FLEETJOBS_PUBLIC_URL=http://localhost",
		"AzureWebJobsStorage=UseDevelopmentStorage=true",
		"IOTHUB_CONNECTION_STRING=HostName=localhost;SharedAccessKeyName=service;SharedAccessKey=bm9uZQ==",
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, fmt.Errorf("starting the handler: %w", err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	if err := untilAnswer(ctx, "http://"+address+"/api/health"); err != nil {
		return 0, 0, err
	}
	took = time.Since(began)
	peak, err = peakMemory(cmd.Process.Pid)
	if errors.Is(err, fs.ErrNotExist) {
		return took, 0, nil
	}
	return took, peak, err
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("choosing a port: %w", err)
	}
	if err := listener.Close(); err != nil {
		return "", fmt.Errorf("choosing a port: %w", err)
	}
	return listener.Addr().String(), nil
}

// untilAnswer asks every millisecond; the Functions host asks every 25.
func untilAnswer(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return fmt.Errorf("asking the handler: %w", err)
		}
		resp, err := client.Do(r)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("asking the handler: status %d", resp.StatusCode)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the handler: %w", err)
		case <-time.After(time.Millisecond):
		}
	}
}
