package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

const (
	// peerScale makes an S1 hub ten times as fast, so that its own job over 10,000 devices takes 100 s and not 17 minutes.
	peerScale = 10
	// peerTimeout is how long a peer may take.
	peerTimeout = 20 * time.Minute
)

// peer is something that does without fleetjobs what fleetjobs does.
type peer struct {
	key, name string
	packages  peerPackages
	program   string // in the folder of the packages
}

func peersOf() []peer {
	return []peer{
		{"hubJob", "IoT Hub's own job (simulated)", nodePackages(), "hubjob.js"},
		{"node", "loop with the Node service SDK, a page at once", nodePackages(), "loop.js"},
		{"python", "script with the Python service SDK, 50 threads", pythonPackages(), "loop.py"},
	}
}

// peerResult is what a peer tells at its end.
type peerResult struct {
	Succeeded, Failed int
	LastOutcome       int64 // ms since 1970
}

// peerHub is the same for all: S1 with one unit, and the burst and the queue that the simulator gives it.
func (b *bench) peerHub() hubOptions {
	return hubOptions{
		Devices: b.sized(500, b.devices), Latency: latency.FixedAt(slow), Jobs: true, TimeScale: peerScale,
		Throttle: throttle.Options{Tier: throttle.S1},
	}
}

// peers compares a job with what users have without fleetjobs, each on a fresh hub.
func peers(ctx context.Context, b *bench) (t table, err error) {
	hub := b.peerHub()
	t.notes = append(t.notes, fmt.Sprintf("%d devices that answer after 50 ms, on S1 with one unit, with burst and queue. "+
		"The hub's clock runs %d times as fast: seconds are those of the real hub.", hub.Devices, peerScale))
	if err := b.fleetjobsAsPeer(ctx, hub, &t); err != nil {
		return t, err
	}
	for _, p := range peersOf() {
		if program, err := p.packages.missing(); err != nil {
			t.notes = append(t.notes, fmt.Sprintf("Not measured: %s, since %s is not on this machine.", p.name, program))
			continue
		}
		if err := p.measure(ctx, hub, &t); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (t *table) addPeer(key, name string, hub hubOptions, seconds float64, known int) {
	t.add(key, name+": due to last outcome", "s", seconds*peerScale)
	t.add(key+"Known", name+": devices whose outcome is known", "", float64(known)/float64(hub.Devices))
}

func (b *bench) fleetjobsAsPeer(ctx context.Context, hub hubOptions, t *table) (err error) {
	w, err := startWorld(ctx, worldOptions{hub: hub, settings: scaledSettings(hub), app: b.app})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	o, err := w.runMeasured(ctx, jobSpec{devices: hub.Devices, due: soon()})
	if err != nil {
		return err
	}
	t.addPeer("fleetjobs", "fleetjobs", hub, o.lastEnd, hub.Devices)
	return nil
}

func (p peer) measure(ctx context.Context, options hubOptions, t *table) (err error) {
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	dir, err := p.packages.install(ctx, os.Stderr)
	if err != nil {
		return err
	}
	hub, err := startHub(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hub.close()) }()
	if err := hub.ready(); err != nil {
		return err
	}
	due := soon().Truncate(time.Millisecond)
	result, err := p.run(ctx, dir, hub.address, due)
	if err != nil {
		return err
	}
	t.addPeer(p.key, p.name, options, time.UnixMilli(result.LastOutcome).Sub(due).Seconds(), result.Succeeded+result.Failed)
	if result.Failed > 0 {
		t.notes = append(t.notes, fmt.Sprintf("%s: %d devices failed.", p.name, result.Failed))
	}
	return nil
}

// run runs the peer's program.
func (p peer) run(ctx context.Context, dir string, hub hubAddress, due time.Time) (r peerResult, err error) {
	_, address, _ := strings.Cut(hub.ConnectionString, "HostName=")
	address, _, _ = strings.Cut(address, ";")
	host, _, _ := strings.Cut(address, ":")
	connection := hub.ConnectionString
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "venv", "bin", "python"), p.program)
	if p.packages.folder == "node" {
		connection = strings.Replace(connection, address, host, 1)
		cmd = exec.CommandContext(ctx, "node", "--require", "./redirect.js", p.program)
	}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HUB_CONNECTION_STRING="+connection, "HUB_ADDRESS="+address, fmt.Sprintf("DUE=%d", due.UnixMilli()),
		"NODE_EXTRA_CA_CERTS="+hub.CAFile, "REQUESTS_CA_BUNDLE="+hub.CAFile)
	var output, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &complaints
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("running %s: %w: %.2000s", p.program, err, complaints.Bytes())
	}
	if err := json.Unmarshal(output.Bytes(), &r); err != nil {
		return r, fmt.Errorf("reading what %s tells: %w: %.200s", p.program, err, output.Bytes())
	}
	return r, nil
}
