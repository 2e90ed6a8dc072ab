package cli

import (
	"context"
	"flag"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobPauseEntry() entry {
	return entry{
		name: "job pause", args: "<job id>", summary: "keep a job from starting calls until it is resumed",
		text: `
No new call begins within two seconds; calls that are on their way end and are stored, and the other devices stay queued.
The job's time limit goes on. A job that has not begun can be paused too.`,
		example: `
fleetjobs job pause reboot-42 --note "waits for the new firmware"
fleetjobs job resume reboot-42`,
		make: func(m *Main) command { return newJobHold(m, "job pause", (*client.Client).Pause) },
	}
}

func jobResumeEntry() entry {
	return entry{
		name: "job resume", args: "<job id>", summary: "let a paused job go on",
		text:    "It goes on where it was. One whose start time is still to come waits for it.",
		example: "fleetjobs job resume reboot-42 && fleetjobs job watch reboot-42",
		make:    func(m *Main) command { return newJobHold(m, "job resume", (*client.Client).Resume) },
	}
}

// jobHold pauses a job, resumes it, or moves it on.
type jobHold struct {
	*oneJob
	note string
}

func newJobHold(m *Main, name string, do func(*client.Client, context.Context, string, string) (*client.Job, error)) *jobHold {
	c := &jobHold{}
	c.oneJob = newOneJob(m, name, "print the job as JSON", func(ctx context.Context, api *client.Client, id string, asJSON bool) error {
		job, err := do(api, ctx, id, c.note)
		if err != nil {
			return err
		}
		if asJSON {
			return m.printJSON(job.Raw)
		}
		m.printf("job %s: %s. %s\n", plain(job.ID), plain(job.Status), plain(job.StatusMessage))
		return nil
	})
	return c
}

func (c *jobHold) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.note, "note", "", "a `text` of up to 500 characters that says why")
	c.oneJob.flags(fs)
}

func jobNextBatchEntry() entry {
	return entry{
		name: "job next-batch", args: "<job id>", summary: "begin the next batch of a job now",
		text: `
Without regard to the results of the batch before, the observation time and the start time; not without an approval that
the batch asks for. A job that a missed gate has paused goes on.`,
		example: `fleetjobs job next-batch reboot-42 --note "the two that failed are at the workshop"`,
		make:    func(m *Main) command { return newJobHold(m, "job next-batch", (*client.Client).NextBatch) },
	}
}

func jobApproveEntry() entry {
	return entry{
		name: "job approve", args: "<job id>", summary: "approve the batch of a job that waits for it",
		text: `
By somebody else than the job's creator: another person or application, or another key. 'job show' tells which batch waits.`,
		example: `fleetjobs job approve reboot-42 --batch 2 --note "no complaints since yesterday"`,
		make: func(m *Main) command {
			c := &jobApprove{}
			c.jobHold = newJobHold(m, "job approve", func(api *client.Client, ctx context.Context, id, remark string) (*client.Job, error) {
				return api.Approve(ctx, id, c.batch, remark)
			})
			return c
		},
	}
}

// jobApprove approves a batch.
type jobApprove struct {
	*jobHold
	batch int
}

func (c *jobApprove) flags(fs *flag.FlagSet) {
	fs.IntVar(&c.batch, "batch", 0, "the `number` of the batch, from 1 on")
	c.jobHold.flags(fs)
}
