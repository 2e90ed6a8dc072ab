package cli

import (
	"cmp"
	"flag"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// scheduleFlags make a job recur.
type scheduleFlags struct {
	cron, zone, overlap string
	every, jitter       time.Duration
	runs                int
	window, windowZone  string
	windowFor           time.Duration
	windowEnd           string
}

// scheduleFlagNames are those of scheduleFlags; without the first two the others mean nothing.
var scheduleFlagNames = [...]string{"cron", "every", "time-zone", "overlap", "runs", "jitter"}

func (s *scheduleFlags) flags(fs *flag.FlagSet) {
	fs.StringVar(&s.cron, "cron", "", "run again and again by this cron `expression`: minute, hour, day, month and day of week, as in \"0 2 * * *\"")
	spanVar(fs, &s.every, "every", "run again and again with this time between, as in 6h")
	fs.StringVar(&s.zone, "time-zone", "", "IANA `name` of the zone of --cron, as in Europe/Berlin, or device for each device's own; UTC unless given")
	fs.StringVar(&s.overlap, "overlap", "", "`policy` for a run that is due while another goes on: skip, bufferOne, bufferAll, cancelOther, allowAll; skip unless given")
	fs.IntVar(&s.runs, "runs", 0, "end after this `many` runs; no limit unless given")
	fs.StringVar(&s.window, "window", "", "work only in a maintenance window that opens by this cron `expression`")
	spanVar(fs, &s.windowFor, "window-for", "how long the window stays open, as in 4h")
	fs.StringVar(&s.windowZone, "window-time-zone", "", "IANA `name` of the zone of --window; that of --cron, else UTC, unless given")
	fs.StringVar(&s.windowEnd, "window-end", "", "`what` a run does when the window closes: stopRollout, finish, cancel; stopRollout unless given")
	spanVar(fs, &s.jitter, "jitter", "spread the begin of a run's devices over this time, as in 30m; at once unless given")
}

// schedule gives nil when the job does not recur.
func (c *jobCreate) schedule() (*client.Schedule, error) {
	if c.cron == "" && c.every == 0 {
		for _, name := range scheduleFlagNames[2:] {
			if c.given[name] {
				return nil, usagef("give --cron or --every", "--%s is for a job that runs again and again", name)
			}
		}
		return nil, nil
	}
	if c.given["start"] {
		return nil, usagef("put the schedule into a file with a startTime of its own, and give that with -f", "--start does not go with --cron and --every")
	}
	secs, err := seconds("every", c.every)
	if err != nil {
		return nil, err
	}
	jitter, err := seconds("jitter", c.jitter)
	if err != nil {
		return nil, err
	}
	s := &client.Schedule{Cron: c.cron, TimeZone: c.zone, OverlapPolicy: c.overlap, RemainingRuns: c.runs}
	if jitter > 0 {
		s.Jitter = fmt.Sprintf("PT%dS", jitter)
	}
	if secs > 0 {
		s.Interval = fmt.Sprintf("PT%dS", secs)
	}
	return s, nil
}

// maintenanceWindow gives nil when the job may work at any time.
func (c *jobCreate) maintenanceWindow() (*client.Window, error) {
	if c.window == "" {
		for _, name := range []string{"window-for", "window-time-zone", "window-end"} {
			if c.given[name] {
				return nil, usagef("give --window with the times at which it opens", "--%s is for a job with a maintenance window", name)
			}
		}
		return nil, nil
	}
	open, err := isoSeconds("window-for", c.windowFor)
	if err != nil {
		return nil, err
	}
	if open == "" {
		return nil, usagef("say how long it stays open, as in --window-for 4h", "--window goes with --window-for")
	}
	return &client.Window{Cron: c.window, TimeZone: cmp.Or(c.windowZone, c.zone), Duration: open, EndBehavior: c.windowEnd}, nil
}
