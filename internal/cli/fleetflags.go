package cli

import (
	"flag"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

// fleetFlags describe the simulated fleet.
type fleetFlags struct {
	devices               int
	offline, fail, silent float64
	latency               latency.Distribution
	applyAfter            time.Duration
}

func (f *fleetFlags) flags(fs *flag.FlagSet) {
	fs.IntVar(&f.devices, "devices", f.devices, "how `many` simulated devices there are, up to 100,000 or so: dev-000001, dev-000002, ...")
	fs.Float64Var(&f.offline, "offline", f.offline, "`share` of them that is not connected, as in 0.02")
	fs.Float64Var(&f.fail, "fail", f.fail, "`share` of them that answers every method with status 500")
	fs.Float64Var(&f.silent, "silent", f.silent, "`share` of them that never answers")
	spanVar(fs, &f.applyAfter, "apply-after", "how `long` they take to apply desired properties and report them")
	fs.TextVar(&f.latency, "latency", f.latency, "how long they take to answer: a `time` like 50ms, 10ms..200ms or lognormal(80ms,0.6,5s)")
}

func (f *fleetFlags) check() error {
	sum := 0.0
	for _, share := range []struct {
		name  string
		value float64
	}{{"offline", f.offline}, {"fail", f.fail}, {"silent", f.silent}} {
		if !(share.value >= 0 && share.value <= 1) {
			return usagef("give a number from 0 to 1, as in 0.02", "--%s %v is no share", share.name, share.value)
		}
		sum += share.value
	}
	switch {
	case sum > 1:
		return usagef("a device is one of them at most", "--offline, --fail and --silent add up to %v", sum)
	case f.applyAfter < 0:
		return usagef("give 0 or more", "--apply-after %s is too short", f.applyAfter)
	case f.devices < 0:
		return usagef("give 0 or more", "--devices %d is too small", f.devices)
	}
	return nil
}

// stringList is a flag that may be repeated.
type stringList []string

// String implements [flag.Value].
func (l *stringList) String() string { return "" }

// Set implements [flag.Value].
func (l *stringList) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// lockedWriter lets several goroutines write whole pieces.
type lockedWriter struct {
	mu    sync.Mutex
	write func(p []byte) (int, error)
}

// Write implements [io.Writer].
func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write(p)
}
