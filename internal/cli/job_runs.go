package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobRunsEntry() entry {
	return entry{
		name: "job runs", args: "<job id>", summary: "list the runs of a job, the latest first",
		text: `
A job with a schedule has many runs, any other one. FOR is the time that a run was scheduled for; KIND is scheduled, manual for
'job run-now', or backfill; NOTE is what a run waits for, or why it ended early.`,
		example: `
fleetjobs job runs nightly
fleetjobs job runs nightly --all --json | jq -r '.[] | select(.deviceJobStatistics.failedCount > 0) | .runId'

# the devices of one run
fleetjobs job executions nightly --run nightly.5f3c9a017be2.17`,
		make: func(m *Main) command { return &jobRuns{m: m, connection: connection{m: m}} },
	}
}

type jobRuns struct {
	m *Main
	connection
	listing
}

func (c *jobRuns) flags(fs *flag.FlagSet) {
	c.listing.flags(fs, "runs")
	c.connection.flags(fs)
}

func (c *jobRuns) run(ctx context.Context, args []string) error {
	id, err := oneArg("job runs", "a job id", args)
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	return printPages(c.m, c.listing, runTable(), func(continuation string) ([]client.Run, string, error) {
		page, err := api.Runs(ctx, id, client.ListOptions{PageSize: c.page(100), Continuation: continuation})
		if err != nil {
			return nil, "", err
		}
		return page.Runs, page.Continuation, nil
	})
}

func runTable() table[client.Run] {
	return table[client.Run]{
		none:   "there is no run yet",
		header: []string{"RUN", "STATUS", "KIND", "FOR", "END", "DEVICES", "OK", "NOT OK", "NOTE"},
		row: func(r *client.Run) []string {
			return []string{
				plain(r.ID), plain(r.Status), plain(r.Kind), clock(r.ScheduledTime), clock(r.EndTime),
				count(r.Statistics.DeviceCount), count(r.Statistics.SucceededCount), count(r.Statistics.FailedCount), cutTo(plain(noteOf(r)), 80),
			}
		},
		raw: func(r *client.Run) json.RawMessage { return r.Raw },
	}
}

// noteOf says what a reader must know of a run that did not simply come to its end, "-" of others.
func noteOf(r *client.Run) string {
	switch r.Status {
	case "completed":
		if r.EndReason != "finished" {
			return cmp.Or(r.EndReason, "-")
		}
		return "-"
	case "failed", "cancelled":
		return cmp.Or(r.FailureReason, r.EndReason, "-")
	case "running":
		return "-"
	}
	return cmp.Or(r.StatusMessage, "-")
}
