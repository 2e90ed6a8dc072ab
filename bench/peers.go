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

	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

const (
	// peerScale makes an S1 hub faster, so that its own job over 10,000 devices takes 250 s and not 17 minutes. More would ask more
	// of a script than it manages, which a real hub does not.
	peerScale = 4
	// peerTimeout is how long a peer may take.
	peerTimeout = 20 * time.Minute
)

// peer is something that does without fleetjobs what fleetjobs does.
type peer struct {
	key, name string
	packages  peerPackages
	program   string // in the folder of the packages
	measure   func(ctx context.Context, hub hubOptions) (peerResult, error)
}

func peersOf() []peer {
	return []peer{
		{key: "hubJob", name: "IoT Hub's own job (simulated)", packages: nodePackages(), program: "hubjob.js"},
		{key: "node", name: "loop with the Node service SDK, a page at once", packages: nodePackages(), program: "loop.js"},
		{key: "python", name: "script with the Python service SDK, 50 threads", packages: pythonPackages(), program: "loop.py"},
	}
}

// peerResult is what a peer tells at its end.
type peerResult struct {
	Succeeded, Failed int
	LastOutcome       int64 // ms since 1970
	seconds           float64
}

// peerHub is the same for all: S1 with one unit, and the burst and the queue that the simulator gives it.
func (b *bench) peerHub() hubOptions {
	return hubOptions{
		Devices: b.sized(500, b.devices), Latency: latency.FixedAt(slow), Jobs: true, TimeScale: peerScale,
		Throttle: throttle.Options{Tier: throttle.S1},
	}
}

// peers compares a job with what users have without fleetjobs: all at the same time, each on a fresh hub.
func peers(ctx context.Context, b *bench) (table, error) {
	var t table
	hub := b.peerHub()
	t.notes = append(t.notes, fmt.Sprintf("%d devices that answer after 50 ms, on S1 with one unit, with burst and queue. "+
		"The hub's clock runs %d times as fast: seconds are those of the real hub.", hub.Devices, peerScale))
	fleetjobs := peer{key: "fleetjobs", name: "fleetjobs, at the rate of the allowance", measure: b.fleetjobsAsPeer}
	present := []peer{fleetjobs}
	for _, p := range peersOf() {
		if program, err := p.packages.missing(); err != nil {
			t.notes = append(t.notes, fmt.Sprintf("Not measured: %s, since %s is not on this machine.", p.name, program))
			continue
		}
		if _, err := p.packages.install(ctx, os.Stderr); err != nil {
			return t, err
		}
		p.measure = p.runOn
		present = append(present, p)
	}
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	results := make([]peerResult, len(present))
	all, peerCtx := errgroup.WithContext(ctx)
	for i, p := range present {
		all.Go(func() (err error) {
			results[i], err = p.measure(peerCtx, hub)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return t, err
	}
	for i, p := range present {
		t.addPeer(p, hub, results[i])
	}
	return t, nil
}

func (t *table) addPeer(p peer, hub hubOptions, r peerResult) {
	t.add(p.key, p.name+": due to last outcome", "s", r.seconds*peerScale)
	t.add(p.key+"Known", p.name+": share of outcomes known", "", float64(r.Succeeded+r.Failed)/float64(hub.Devices))
	if r.Failed > 0 {
		t.notes = append(t.notes, fmt.Sprintf("%s: %d devices failed.", p.name, r.Failed))
	}
}

func (b *bench) fleetjobsAsPeer(ctx context.Context, hub hubOptions) (r peerResult, err error) {
	w, err := startWorld(ctx, worldOptions{hub: hub, settings: scaledSettings(hub), app: b.app})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	o, err := w.runMeasured(ctx, jobSpec{devices: hub.Devices, due: soon()})
	return peerResult{Succeeded: hub.Devices, seconds: o.lastEnd}, err
}

// runOn runs the peer on a hub of its own.
func (p peer) runOn(ctx context.Context, options hubOptions) (r peerResult, err error) {
	dir, err := p.packages.install(ctx, os.Stderr)
	if err != nil {
		return r, err
	}
	hub, err := startHub(options)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, hub.close()) }()
	if err := hub.ready(); err != nil {
		return r, err
	}
	due := soon().Truncate(time.Millisecond)
	if r, err = p.run(ctx, dir, hub.address, due); err != nil {
		return r, err
	}
	r.seconds = time.UnixMilli(r.LastOutcome).Sub(due).Seconds()
	return r, nil
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
