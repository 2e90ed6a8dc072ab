package cli

import (
	"context"
	"crypto/rand"
	"flag"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobRunNowEntry() entry {
	return entry{
		name: "job run-now", args: "<job id>", summary: "run a recurring job once more, now",
		text: `
Beside its schedule, and also while that is paused. While a run goes on it waits for its end, unless the job's overlap policy is
allowAll.`,
		example: "fleetjobs job run-now nightly && fleetjobs job runs nightly",
		make: func(m *Main) command {
			c := &jobRunNow{}
			c.oneJob = newOneJob(m, "job run-now", "print the job as JSON", func(ctx context.Context, api *client.Client, id string, asJSON bool) error {
				if c.key == "" {
					c.key = rand.Text()
				}
				job, err := api.RunNow(ctx, id, c.key)
				return m.stands(job, asJSON, err)
			})
			return c
		},
	}
}

// jobRunNow asks for one more run.
type jobRunNow struct {
	*oneJob
	key string
}

func (c *jobRunNow) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.key, "idempotency-key", "", "`text` that makes repeating this command harmless; a new one each time unless given")
	c.oneJob.flags(fs)
}

// stands prints where a job stands after a request.
func (m *Main) stands(job *client.Job, asJSON bool, err error) error {
	if err != nil {
		return err
	}
	if asJSON {
		return m.printJSON(job.Raw)
	}
	m.printf("job %s: %s. %s\n", plain(job.ID), plain(job.Status), plain(job.StatusMessage))
	return nil
}

func jobBackfillEntry() entry {
	return entry{
		name: "job backfill", args: "<job id>", summary: "run a recurring job for the times of its schedule in a range of the past",
		text: `
Once for each time of the schedule from --from on and before --to, 366 at most. They wait for each other unless the job's overlap
policy is allowAll. Repeating the command runs them again.`,
		example: "fleetjobs job backfill nightly --from 2026-12-01T00:00:00Z --to 2026-12-04T00:00:00Z",
		make: func(m *Main) command {
			c := &jobBackfill{}
			c.oneJob = newOneJob(m, "job backfill", "print the job as JSON", func(ctx context.Context, api *client.Client, id string, asJSON bool) error {
				from, err := instantFlag("from", c.from)
				if err != nil {
					return err
				}
				to, err := instantFlag("to", c.to)
				if err != nil {
					return err
				}
				job, err := api.Backfill(ctx, id, from, to)
				return m.stands(job, asJSON, err)
			})
			return c
		},
	}
}

// jobBackfill asks for runs for a range of the past.
type jobBackfill struct {
	*oneJob
	from, to string
}

func (c *jobBackfill) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.from, "from", "", "`begin` of the range, as in 2026-12-01T00:00:00Z")
	fs.StringVar(&c.to, "to", "", "`end` of the range, which does not belong to it")
	c.oneJob.flags(fs)
}

func instantFlag(name, text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("give an instant like 2027-01-31T04:00:00Z or 2027-01-31T04:00:00+01:00", "--%s %q is no time", name, text)
	}
	return at.UTC(), nil
}
