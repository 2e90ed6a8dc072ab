package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobShowEntry() entry {
	return entry{
		name: "job show", args: "<job id>", summary: "show one job and how far it has come",
		text: "It exits with 0 however the job went; 'job watch' tells by its exit code.",
		example: `
fleetjobs job show reboot-42
fleetjobs job show reboot-42 --json | jq .deviceJobStatistics`,
		make: func(m *Main) command {
			return newOneJob(m, "job show", "print the job as JSON", func(ctx context.Context, api *client.Client, id string, asJSON bool) error {
				job, err := api.Job(ctx, id)
				if err != nil {
					return err
				}
				if asJSON {
					return m.printJSON(job.Raw)
				}
				return m.describe(job)
			})
		},
	}
}

// describe prints a job as names and values.
func (m *Main) describe(j *client.Job) error {
	w := tabwriter.NewWriter(m.Stdout, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	line("job", plain(j.ID))
	line("status", plain(j.Status+". "+j.StatusMessage))
	line("operation", plain(operation(j)))
	if j.Method != nil && len(j.Method.Payload) > 0 {
		line("payload", cutTo(plain(string(j.Method.Payload)), 100))
	}
	if u := j.UpdateTwin; u != nil {
		line("tags", cutTo(plain(string(u.Tags)), 100))
		if u.Properties != nil {
			line("desired", cutTo(plain(string(u.Properties.Desired)), 100))
		}
	}
	line("devices", target(j))
	line("created", clock(j.CreatedTime))
	line("created by", who(j.CreatedBy))
	line("start", clock(j.StartTime))
	if r := j.Recurrence; r != nil {
		line("next runs", runTimes(r.NextRuns, 3))
		line("runs", count(r.RunCount))
	}
	if !j.EndTime.IsZero() {
		line("end", clock(j.EndTime))
	}
	if j.MaxExecutionTimeInSeconds > 0 {
		line("time limit", short(time.Duration(j.MaxExecutionTimeInSeconds)*time.Second))
	}
	for _, warning := range j.Warnings {
		line("warning", plain(warning))
	}
	s := j.Statistics
	line("progress", fmt.Sprintf("%s of %s: %s succeeded, %s not, %s in progress, %s waiting", count(j.Done()), devices(s.DeviceCount),
		count(s.SucceededCount), count(s.FailedCount), count(s.RunningCount), count(s.PendingCount)))
	for _, h := range j.HubRuns {
		s := h.Statistics
		line("  at "+plain(h.Hub), plain(fmt.Sprintf("%s; %s of %s: %s succeeded, %s not", h.Status, count(s.SucceededCount+s.FailedCount),
			devices(s.DeviceCount), count(s.SucceededCount), count(s.FailedCount))))
		if b := h.Waiting; b != nil {
			line("", plain(fmt.Sprintf("batch %d waits for %s", b.Batch, strings.Join(b.WaitsFor, ", "))))
			line("", approveHint(j.ID, b))
		}
	}
	for _, b := range j.RolloutStatus.Batches {
		text := fmt.Sprintf("%s; %s begun, %s ended, %s succeeded", b.State, count(b.BegunCount), count(b.EndedCount), count(b.SucceededCount))
		if len(b.WaitsFor) > 0 {
			text += "; waits for " + strings.Join(b.WaitsFor, ", ")
		}
		line(fmt.Sprintf("  batch %d", b.Batch), plain(text))
		line("", approveHint(j.ID, &b))
	}
	for _, row := range countRows(j.ExecutionStatistics, executionStates()) {
		line("  "+row[0], row[1])
	}
	for _, row := range countRows(j.Awaiting, nil) {
		line("    "+row[0], row[1])
	}
	for i, row := range countRows(j.FailureReasons, nil) {
		if i == 0 {
			line("reasons", " ")
		}
		line("  "+row[0], row[1])
	}
	return w.Flush()
}

// runTimes names the first of a schedule's next times.
func runTimes(next client.NextRuns, most int) string {
	if len(next.LocalRunTimes) == 0 {
		return clocks(next.NextRunTimes, most)
	}
	names := make([]string, min(most, len(next.LocalRunTimes)))
	for i := range names {
		t := &next.LocalRunTimes[i]
		names[i] = fmt.Sprintf("%s at each device (%s to %s)", plain(strings.Replace(t.LocalTime, "T", " ", 1)), clock(t.Earliest), clock(t.Latest))
	}
	return strings.Join(names, ", ")
}

// clocks names the first of some times.
func clocks(times []time.Time, most int) string {
	names := make([]string, min(most, len(times)))
	for i := range names {
		names[i] = clock(times[i])
	}
	return strings.Join(names, ", ")
}

func target(j *client.Job) string {
	if j.DeviceIDCount > 0 {
		return "a list of " + devices(j.DeviceIDCount)
	}
	return plain(j.QueryCondition)
}

// approveHint is the command that lets a batch begin which waits for somebody's approval, "" for others.
func approveHint(id string, b *client.BatchStatus) string {
	if !slices.Contains(b.WaitsFor, "approval") {
		return ""
	}
	return plain(fmt.Sprintf("approve it, as somebody else than its creator, with: fleetjobs job approve %s --batch %d", id, b.Batch))
}
