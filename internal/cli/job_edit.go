package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobEditEntry() entry {
	return entry{
		name: "job edit", args: "<job id>", summary: "change a job's rate, thresholds, time limit, window or priority, also while it runs",
		text: `
Only the rollout, the abort criteria, the time limit, the maintenance window and the priority of a job can be changed. Flags
change one member each; -f takes a JSON merge patch of "maxExecutionTimeInSeconds", "rollout", "abort", "maintenanceWindow"
and "priority", in which null takes a member away. Of a job that runs again and again the patch may name every member, and
takes effect with its next run.`,
		example: `
fleetjobs job edit reboot-42 --rate 300 --max-time 2h
echo '{"rollout":{"maxConcurrency":null}}' | fleetjobs job edit reboot-42 -f -`,
		make: func(m *Main) command { return &jobEdit{m: m, connection: connection{m: m}} },
	}
}

type jobEdit struct {
	m *Main
	connection
	file              string
	rate, concurrency int
	priority          int
	maxTime           time.Duration
	json              bool
}

func (c *jobEdit) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.file, "f", "", "`file` with a JSON merge patch, - for standard input; instead of the flags below")
	fs.IntVar(&c.rate, "rate", 0, "how many `devices` may begin in a minute")
	fs.IntVar(&c.concurrency, "max-concurrency", 0, "how many `devices` may be in flight at once")
	fs.IntVar(&c.priority, "priority", 0, "the job's `part` of what jobs share, 1 to 10")
	spanVar(fs, &c.maxTime, "max-time", "how long after its start the job may still begin calls, as in 2h")
	fs.BoolVar(&c.json, "json", false, "print the job as JSON")
	c.connection.flags(fs)
}

func (c *jobEdit) run(ctx context.Context, args []string) error {
	id, err := oneArg("job edit", "a job id", args)
	if err != nil {
		return err
	}
	patch, err := c.patch()
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	known, err := api.Job(ctx, id)
	if err != nil {
		return err
	}
	job, err := api.Edit(ctx, id, known.Version, patch)
	if err != nil {
		return err
	}
	if c.json {
		return c.m.printJSON(job.Raw)
	}
	c.m.printf("job %s: version %d. %s\n", plain(job.ID), job.Version, plain(job.StatusMessage))
	return nil
}

// patch gives the file's text, or what the flags say.
func (c *jobEdit) patch() ([]byte, error) {
	flags := c.rate > 0 || c.concurrency > 0 || c.maxTime > 0 || c.priority != 0
	switch {
	case c.file != "" && flags, c.file == "" && !flags:
		return nil, usagef(tryHelp("job edit"), "give what is to change: -f, or --rate, --max-concurrency, --max-time and --priority")
	case c.file != "":
		text, err := c.m.readInput(c.file)
		if err != nil {
			return nil, usagef("it must hold a JSON object", "-f: %s", err)
		}
		return text, nil
	}
	limit, err := seconds("max-time", c.maxTime)
	if err != nil {
		return nil, err
	}
	changes := client.Definition{MaxExecutionTimeInSeconds: int64(limit), Priority: c.priority}
	if c.rate > 0 || c.concurrency > 0 {
		changes.Rollout = &client.Rollout{MaximumPerMinute: c.rate, MaxConcurrency: c.concurrency}
	}
	patch, err := json.Marshal(changes)
	if err != nil {
		return nil, fmt.Errorf("encoding an edit: %w", err)
	}
	return patch, nil
}
