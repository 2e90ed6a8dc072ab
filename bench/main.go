// Command bench measures fleetjobs on this machine: the real handler behind the local Functions host, Azurite, and the IoT Hub
// simulator with a simulated fleet. It prints tables and writes dist/bench.json.
//
// It owns what is measured and how the numbers are shown. Each scenario has a file of its own and an entry in scenarios().
// The hub and the loop that a job is compared with run in processes of their own, so that each part's CPU time is its own.
// It judges nothing: a goal that is missed is printed as missed, and the exit code stays 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// scenario is something that is measured.
type scenario struct {
	name, title string
	run         func(ctx context.Context, b *bench) (table, error)
}

func scenarios() []scenario {
	return []scenario{
		{"instant", "Against the ceiling: a method job, devices that answer at once", ceiling(false, 0, atLeast(0.8))},
		{"slow", "Against the ceiling: a method job, devices that answer after 50 ms", ceiling(false, slow, atLeast(0.95))},
		{"instantTwins", "Against the ceiling: a twin job, a hub that answers at once", ceiling(true, 0, atLeast(0.8))},
		{"slowTwins", "Against the ceiling: a twin job, a hub that answers after 50 ms", ceiling(true, slow, atLeast(0.95))},
		{"throttle", "Against the throttle: what jobs use of what a hub allows", throttled},
		{"peers", "Against what users have", peers},
		{"size", "Against size: what a device costs in fleets of growing size", size},
		{"instances", "Against instances: more of them on one queue", instances},
		{"hostfile", "Against host.json: how many messages the host fetches", hostFile},
		{"punctuality", "Punctuality", punctuality},
		{"money", "What a million executions cost", money},
		{"storage", "What a device costs in storage", storage},
		{"footprint", "Memory, CPU and size", footprint},
		{"start", "Cold start of the handler", coldStart},
	}
}

// bench is what all scenarios share: how large they are and which app they run.
type bench struct {
	small       bool
	devices     int
	repetitions int
	inFlight    int    // calls of the loop; the handler has the same limit
	app         string // packaged app; "" is dist/app, built when it is stale
	cases       string // of the scenario throttle: a part of their names; "" is all
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == childHub {
		return hubChild(ctx, args[1:], os.Stdin, out)
	}
	if len(args) > 0 && args[0] == childLoop {
		return loopChild(ctx, args[1:], os.Stdin, out)
	}
	b := &bench{inFlight: 512}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := fs.String("only", "", "names of scenarios, separated by commas: "+names())
	fs.BoolVar(&b.small, "small", false, "fewer devices and one repetition: shows that it works, not how fast")
	path := fs.String("json", filepath.Join("dist", "bench.json"), "where the rows are written")
	fs.IntVar(&b.devices, "devices", 10_000, "size of the fleet")
	fs.IntVar(&b.repetitions, "repetitions", 3, "how often what varies is measured")
	fs.StringVar(&b.cases, "cases", "", "of throttle only the cases with this in their name, such as S3TwinsQuery1")
	fs.StringVar(&b.app, "app", "", "a packaged app to measure instead of dist/app")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if b.small {
		b.devices, b.repetitions = min(b.devices, 2_000), 1
	}
	if b.devices < 1 || b.repetitions < 1 {
		return errors.New("-devices and -repetitions must be positive")
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	return b.measure(ctx, chosen, out, *path)
}

// sized chooses by how much is to be measured.
func (b *bench) sized(small, full int) int {
	if b.small {
		return small
	}
	return full
}

func names() string {
	var all []string
	for _, s := range scenarios() {
		all = append(all, s.name)
	}
	return strings.Join(all, ",")
}

// choose finds scenarios by name, all if there is none.
func choose(only string) ([]scenario, error) {
	if only == "" {
		return scenarios(), nil
	}
	var chosen []scenario
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(scenarios(), func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no scenario %q: choose from %s", name, names())
		}
		chosen = append(chosen, scenarios()[i])
	}
	return chosen, nil
}

// measure runs scenarios one after the other and writes down what they give.
func (b *bench) measure(ctx context.Context, chosen []scenario, out io.Writer, path string) error {
	rep := newReport(ctx, b)
	if _, err := fmt.Fprintf(out, "%s\n", rep); err != nil {
		return err
	}
	for _, s := range chosen {
		t, err := s.run(ctx, b)
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.name, err)
		}
		t.title = s.title
		if _, err := fmt.Fprintf(out, "\n%s", t); err != nil {
			return err
		}
		rep.add(s.name, t)
	}
	return rep.write(path)
}
