package cli

import (
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
'job run-now', or backfill.`,
		example: `
fleetjobs job runs nightly
fleetjobs job runs nightly --all --json | jq -r '.[] | select(.deviceJobStatistics.failedCount > 0) | .runId'

# the devices of one run
fleetjobs job executions nightly --run nightly.5f3c9a017be2.17`,
		make: func(m *Main) command { return &jobRuns{m: m, connection: connection{m: m}} },
	}
}

func jobRunNowEntry() entry {
	return entry{
		name: "job run-now", args: "<job id>", summary: "run a recurring job once more, now",
		text: `
Beside its schedule, and also while that is paused. While a run goes on it waits for its end, unless the job's overlap policy is
allowAll.`,
		example: "fleetjobs job run-now nightly && fleetjobs job runs nightly",
		make: func(m *Main) command {
			return newOneJob(m, "job run-now", "print the job as JSON", func(ctx context.Context, api *client.Client, id string, asJSON bool) error {
				job, err := api.RunNow(ctx, id)
				if err != nil {
					return err
				}
				if asJSON {
					return m.printJSON(job.Raw)
				}
				m.printf("job %s: %s. %s\n", plain(job.ID), plain(job.Status), plain(job.StatusMessage))
				return nil
			})
		},
	}
}

type jobRuns struct {
	m *Main
	connection
	limit     int
	all, json bool
}

func (c *jobRuns) flags(fs *flag.FlagSet) {
	fs.IntVar(&c.limit, "limit", 20, "how `many` runs to list")
	fs.BoolVar(&c.all, "all", false, "list all")
	fs.BoolVar(&c.json, "json", false, "print a JSON array of runs")
	c.connection.flags(fs)
}

func (c *jobRuns) run(ctx context.Context, args []string) error {
	id, err := oneArg("job runs", "a job id", args)
	if err != nil {
		return err
	}
	limit, err := pageLimit(c.limit, c.all)
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	var runs []client.Run
	options := client.ListOptions{PageSize: min(limit, 100)}
	more := true
	for more && len(runs) < limit {
		page, err := api.Runs(ctx, id, options)
		if err != nil {
			return err
		}
		runs = append(runs, page.Runs...)
		options.Continuation, more = page.Continuation, page.Continuation != ""
	}
	if len(runs) > limit {
		runs, more = runs[:limit], true
	}
	return c.print(runs, more)
}

func (c *jobRuns) print(runs []client.Run, more bool) error {
	if c.json {
		raw := make([]json.RawMessage, len(runs))
		for i := range runs {
			raw[i] = runs[i].Raw
		}
		return c.m.printArray(raw)
	}
	if len(runs) == 0 {
		c.m.remark("there is no run yet")
		return nil
	}
	rows := make([][]string, len(runs))
	for i := range runs {
		r := &runs[i]
		rows[i] = []string{
			plain(r.ID), plain(r.Status), plain(r.Kind), clock(r.ScheduledTime), clock(r.EndTime),
			count(r.Statistics.DeviceCount), count(r.Statistics.SucceededCount), count(r.Statistics.FailedCount),
		}
	}
	if err := c.m.table([]string{"RUN", "STATUS", "KIND", "FOR", "END", "DEVICES", "OK", "NOT OK"}, rows); err != nil {
		return err
	}
	if more {
		c.m.remark("there are more; use --limit or --all")
	}
	return nil
}
