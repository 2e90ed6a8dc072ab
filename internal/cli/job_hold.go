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
The job's time limit goes on. A job that has not begun can be paused too. Of a recurring job this pauses the
schedule, and with --run one of its runs.`,
		example: `
fleetjobs job pause reboot-42 --note "waits for the new firmware"
fleetjobs job resume reboot-42
fleetjobs job pause nightly --run nightly.5f3c9a017be2.17`,
		make: func(m *Main) command {
			return newJobHold(m, "job pause", (*client.Client).Pause, (*client.Client).PauseRun)
		},
	}
}

func jobResumeEntry() entry {
	return entry{
		name: "job resume", args: "<job id>", summary: "let a paused job go on",
		text:    "It goes on where it was. One whose start time is still to come waits for it.",
		example: "fleetjobs job resume reboot-42 && fleetjobs job watch reboot-42",
		make: func(m *Main) command {
			return newJobHold(m, "job resume", (*client.Client).Resume, (*client.Client).ResumeRun)
		},
	}
}

// holdJob and holdRun carry a request out.
type (
	holdJob func(api *client.Client, ctx context.Context, id, note string) (*client.Job, error)
	holdRun func(api *client.Client, ctx context.Context, id, runID, note string) (*client.Run, error)
)

// jobHold pauses a job, resumes it, or moves it on.
type jobHold struct {
	*oneJob
	note, runID string
	ofRun       holdRun // nil where there is no such request for a run
}

func newJobHold(m *Main, name string, do holdJob, ofRun holdRun) *jobHold {
	c := &jobHold{ofRun: ofRun}
	c.oneJob = newOneJob(m, name, "print the job, or the run, as JSON", func(ctx context.Context, api *client.Client, id string, asJSON bool) error {
		if c.runID != "" {
			return m.heldRun(asJSON)(ofRun(api, ctx, id, c.runID, c.note))
		}
		job, err := do(api, ctx, id, c.note)
		return m.stands(job, asJSON, err)
	})
	return c
}

// heldRun prints where a run stands after a request.
func (m *Main) heldRun(asJSON bool) func(*client.Run, error) error {
	return func(run *client.Run, err error) error {
		if err != nil {
			return err
		}
		if asJSON {
			return m.printJSON(run.Raw)
		}
		m.printf("run %s: %s\n", plain(run.ID), plain(run.Status))
		return nil
	}
}

func (c *jobHold) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.note, "note", "", "a `text` of up to 500 characters that says why")
	if c.ofRun != nil {
		fs.StringVar(&c.runID, "run", "", "`id` of one run of a recurring job, instead of its schedule")
	}
	c.oneJob.flags(fs)
}

func jobNextBatchEntry() entry {
	return entry{
		name: "job next-batch", args: "<job id>", summary: "begin the next batch of a job now",
		text: `
Without regard to the results of the batch before, the observation time and the start time; not without an approval that
the batch asks for. A job that a missed gate has paused goes on.`,
		example: `fleetjobs job next-batch reboot-42 --note "the two that failed are at the workshop"`,
		make:    func(m *Main) command { return newJobHold(m, "job next-batch", (*client.Client).NextBatch, nil) },
	}
}

func jobApproveEntry() entry {
	return entry{
		name: "job approve", args: "<job id>", summary: "approve the batch of a job that waits for it",
		text: `
By somebody else than the job's creator: another person or application, or another key. 'job show' tells which batch waits.`,
		example: `
fleetjobs job approve reboot-42 --batch 2 --note "no complaints since yesterday"

# with the second key of 'fleetjobs dev', for a job that was created with its first
set -a; . .fleetjobs/dev.env; set +a
FLEETJOBS_KEY=$FLEETJOBS_APPROVER_KEY fleetjobs job approve reboot-42 --batch 2`,
		make: func(m *Main) command {
			c := &jobApprove{}
			c.jobHold = newJobHold(m, "job approve", func(api *client.Client, ctx context.Context, id, remark string) (*client.Job, error) {
				return api.Approve(ctx, id, c.batch, remark)
			}, nil)
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
