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
		text: `
It prints all that the job says, by the names of the API, and nothing for what it does not say. It exits with 0 however the
job went; 'job watch' tells by its exit code.`,
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
	if j.Method != nil {
		line("call timeouts", callTimeouts(j.Method))
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
	if !j.StartedTime.IsZero() && clock(j.StartedTime) != clock(j.StartTime) {
		line("started", clock(j.StartedTime))
	}
	if r := j.Recurrence; r != nil {
		line("next runs", runTimes(r.NextRuns, 3))
		line("runs", runCounts(r))
	}
	if !j.EndTime.IsZero() {
		line("end", clock(j.EndTime))
	}
	if j.MaxExecutionTimeInSeconds > 0 {
		line("time limit", short(time.Duration(j.MaxExecutionTimeInSeconds)*time.Second))
	}
	for _, f := range facts(j.Raw, toldOfJob(j)...) {
		line(f.name, f.value)
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
		for _, f := range facts(h.Raw, toldOfHubRun()...) {
			line("", f.name+": "+f.value)
		}
	}
	for _, b := range j.RolloutStatus.Batches {
		text := fmt.Sprintf("%s; %s begun, %s ended, %s succeeded", b.State, count(b.BegunCount), count(b.EndedCount), count(b.SucceededCount))
		if len(b.WaitsFor) > 0 {
			text += "; waits for " + strings.Join(b.WaitsFor, ", ")
		}
		if a := b.Approval; a != nil {
			text += "; approved by " + who(a.By)
			if a.Remark != "" {
				text += ": " + a.Remark
			}
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

// toldOfJob are the members of a job that describe has words of its own for, or that say nothing more.
func toldOfJob(j *client.Job) []string {
	told := []string{
		"jobId", "type", "status", "statusMessage", "queryCondition", "cloudToDeviceMethod", "updateTwin", "createdTime", "startTime", "endTime",
		"maxExecutionTimeInSeconds", "failureReason", "deviceJobStatistics", "deviceIdCount", "startedTime", "executionStatistics",
		"failureReasons", "awaiting", "warnings", "recurrence", "rolloutStatus", "hubRuns", "createdBy",
	}
	if j.EndReason == "finished" {
		told = append(told, "endReason")
	}
	if j.Version <= 1 {
		told = append(told, "version") // never edited
	}
	if j.Selection.Mode == "" && j.Selection.DeviceList == nil {
		told = append(told, "selection")
	}
	return told
}

func toldOfHubRun() []string {
	return []string{
		"hub", "runId", "status", "startedTime", "endTime", "deviceJobStatistics", "executionStatistics", "failureReasons", "awaiting", "waitingBatch",
	}
}

// callTimeouts are those of a method call, "" where they are the usual ones.
func callTimeouts(m *client.Method) string {
	if m.ConnectTimeoutInSeconds == 0 && (m.ResponseTimeoutInSeconds == 0 || m.ResponseTimeoutInSeconds == usualResponse) {
		return ""
	}
	return fmt.Sprintf("%d s to connect, %d s to answer", m.ConnectTimeoutInSeconds, m.ResponseTimeoutInSeconds)
}

// usualResponse is the default of responseTimeoutInSeconds.
const usualResponse = 30

// runCounts says how many runs a schedule has had, and what became of the occurrences that had none.
func runCounts(r *client.Recurrence) string {
	parts := []string{count(r.RunCount)}
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, count(n)+" "+what)
		}
	}
	add(r.RunningCount, "in progress")
	add(r.WaitingCount, "waiting")
	if r.RemainingRuns != nil {
		parts = append(parts, count(*r.RemainingRuns)+" left")
	}
	for _, row := range countRows(r.Counters, nil) {
		if row[0] != "started" {
			parts = append(parts, row[1]+" "+row[0])
		}
	}
	return strings.Join(parts, "; ")
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
