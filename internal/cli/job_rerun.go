package cli

import (
	"context"
	"crypto/rand"
	"flag"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobRerunEntry() entry {
	return entry{
		name: "job rerun", args: "<job id>", summary: "do the devices of an ended job again that failed",
		text: `
It creates a new job that does the same, under the same rules, to the devices that ended in the given states: failed and timedOut
unless --status names others. The old job stays as it is.`,
		example: `
fleetjobs job rerun reboot-42 --watch
fleetjobs job rerun reboot-42 --status timedOut --status canceled --id reboot-42-again`,
		make: func(m *Main) command { return &jobRerun{m: m, connection: connection{m: m}} },
	}
}

type jobRerun struct {
	m *Main
	connection
	follow

	id, ofRun string
	hub       string
	states    []string
}

func (c *jobRerun) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.id, "id", "", "`id` of the new job; the service makes one unless given")
	fs.StringVar(&c.ofRun, "run", "", "`id` of the run of a recurring job; the latest unless given")
	fs.StringVar(&c.hub, "hub", "", "`name` of the hub whose devices are done again, of a job over several hubs")
	fs.Func("status", "a `state` in which devices ended that are done again; may be repeated", func(state string) error {
		c.states = append(c.states, state)
		return nil
	})
	c.follow.flags(fs, "print the new job as JSON")
	c.connection.flags(fs)
}

func (c *jobRerun) run(ctx context.Context, args []string) error {
	id, err := oneArg("job rerun", "a job id", args)
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	request := client.Rerun{JobID: c.id, Statuses: c.states, Run: c.ofRun, Hub: c.hub}
	if c.id == "" {
		request.Key = rand.Text()
	}
	job, err := api.Rerun(ctx, id, request)
	if err != nil {
		return err
	}
	return c.made(ctx, c.m, api, job)
}
