package cli

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobWatchEntry() entry {
	return entry{
		name: "job watch", args: "<job id>", summary: "wait for the end of a job and show its progress",
		text: `
On a terminal it draws a bar with the rate and the time left; elsewhere it prints a line when the status changes and
every few seconds between. The job runs in the deployment: Ctrl-C ends the watching, not the job.

It exits with 0 when every device succeeded and with 3 when the job ended in any other way.`,
		example: `
fleetjobs job watch reboot-42

# in a script: go on only when every device succeeded
fleetjobs job watch reboot-42 && echo "all done"

# the job as one line of JSON, each time it has changed
fleetjobs job watch reboot-42 --json`,
		make: func(m *Main) command { return &jobWatch{m: m, connection: connection{m: m}} },
	}
}

type jobWatch struct {
	m *Main
	connection
	interval time.Duration
	json     bool
}

func (c *jobWatch) flags(fs *flag.FlagSet) {
	c.interval = defaultInterval
	spanVar(fs, &c.interval, "interval", "how often to ask")
	fs.BoolVar(&c.json, "json", false, "print the job as a line of JSON each time it has changed")
	c.connection.flags(fs)
}

func (c *jobWatch) run(ctx context.Context, args []string) error {
	id, err := oneArg("job watch", "a job id", args)
	if err != nil {
		return err
	}
	if c.interval < 100*time.Millisecond {
		return usagef("give 100ms or more", "--interval %s is too short", c.interval)
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	return (&watch{m: c.m, api: api, id: id, interval: c.interval, json: c.json}).toEnd(ctx)
}

const (
	defaultInterval = time.Second
	// plainEvery is how often a line is printed where there is no terminal, while a job goes on.
	plainEvery = 5 * time.Second
)

// jobReader reads a job. It is a *client.Client.
type jobReader interface {
	Job(ctx context.Context, id string) (*client.Job, error)
}

// watch follows one job.
type watch struct {
	m        *Main
	api      jobReader
	id       string
	interval time.Duration // 0 is defaultInterval
	json     bool

	meter    meter
	previous *client.Job
	printed  time.Time // of the last plain line
	drawn    bool      // a bar stands on the last line of the terminal
}

// toEnd waits for the end of the job and tells by its error how it went.
func (w *watch) toEnd(ctx context.Context) error {
	job, err := w.follow(ctx)
	if err != nil {
		if ctx.Err() != nil {
			w.m.remark("the job goes on; follow it again with: fleetjobs job watch %s", w.id)
		}
		return err
	}
	if !w.json {
		if err := w.m.summary(job); err != nil {
			return err
		}
	}
	return outcome(job)
}

// follow shows the job until it has ended and returns it.
func (w *watch) follow(ctx context.Context) (*client.Job, error) {
	for {
		job, err := w.api.Job(ctx, w.id)
		if err == nil {
			err = w.show(job)
		}
		if err != nil {
			w.clear()
			return nil, err
		}
		if job.Ended() {
			w.clear()
			return job, nil
		}
		if err := w.m.Sleep(ctx, cmp.Or(w.interval, defaultInterval)); err != nil {
			w.clear()
			return nil, err
		}
	}
}

func (w *watch) show(job *client.Job) error {
	now, width := w.m.Now(), w.m.Width()
	w.meter.see(job, now)
	previous := w.previous
	w.previous = job
	changed := previous == nil || string(previous.Raw) != string(job.Raw)
	switch {
	case w.json && !changed, job.Ended() && !w.json && width > 0:
		return nil
	case w.json:
		return w.m.printLine(job.Raw)
	case width > 0:
		w.m.printf("\r%s\x1b[K", w.meter.line(job, now, width))
		w.drawn = true
	case previous == nil || previous.Status != job.Status || changed && now.Sub(w.printed) >= plainEvery:
		w.m.printf("%s  %s\n", now.UTC().Format("15:04:05Z"), w.meter.line(job, now, 0))
		w.printed = now
	}
	return nil
}

// clear takes the bar away.
func (w *watch) clear() {
	if w.drawn {
		w.m.printf("\r\x1b[K")
		w.drawn = false
	}
}

// outcome turns the end of a job into the exit code's error.
func outcome(job *client.Job) error {
	switch failed := job.Statistics.FailedCount; {
	case job.Status == "failed":
		return &outcomeError{fmt.Sprintf("job %s failed: %s", plain(job.ID), plain(cmp.Or(job.FailureReason, job.StatusMessage)))}
	case job.Status == "cancelled" && job.EndReason == "aborted":
		return &outcomeError{fmt.Sprintf("job %s was aborted: %s", plain(job.ID), plain(job.FailureReason))}
	case job.Status == "cancelled":
		return &outcomeError{fmt.Sprintf("job %s was cancelled", plain(job.ID))}
	case failed > 0:
		return &outcomeError{fmt.Sprintf("%s did not succeed; see them with: fleetjobs job executions %s --status failed (or timedOut, ...)",
			devices(failed), plain(job.ID))}
	}
	return nil
}

// summary prints how a job ended: the devices by state, and those without success by reason.
func (m *Main) summary(job *client.Job) error {
	began := job.StartedTime
	if began.IsZero() {
		began = job.StartTime
	}
	took := ""
	if job.EndTime.After(began) { // not if it was cancelled before its start
		took = " after " + short(job.EndTime.Sub(began))
	}
	m.printf("job %s: %s%s. %s\n", plain(job.ID), plain(job.Status), took, plain(job.StatusMessage))
	if job.Statistics.DeviceCount == 0 {
		return nil
	}
	m.printf("\n")
	rows := countRows(job.ExecutionStatistics, executionStates())
	rows = append(rows, []string{"total", count(job.Statistics.DeviceCount)})
	if err := m.table([]string{"STATE", "DEVICES"}, rows); err != nil {
		return err
	}
	reasons := countRows(job.FailureReasons, nil)
	if len(reasons) == 0 {
		return nil
	}
	m.printf("\n")
	return m.table([]string{"REASON", "DEVICES"}, reasons)
}

// executionStates lists the states in the order in which people want to read the states.
func executionStates() []string {
	return []string{"succeeded", "failed", "timedOut", "rejected", "canceled", "removed", "inDoubt", "inProgress", "queued"}
}

// countRows gives a row for every count that is not zero: in the order of first, then the largest first.
func countRows(counts map[string]int, first []string) [][]string {
	names := make([]string, 0, len(counts))
	for name, n := range counts {
		if n != 0 {
			names = append(names, name)
		}
	}
	rank := func(name string) int {
		if i := slices.Index(first, name); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	rows := make([][]string, len(names))
	for i, name := range names {
		rows[i] = []string{plain(name), count(counts[name])}
	}
	return rows
}
