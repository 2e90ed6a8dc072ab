package cli

import (
	"context"
	"flag"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// oneJob is a command that does something with the one job that its argument names.
type oneJob struct {
	connection
	name     string
	jsonHelp string
	json     bool
	do       func(ctx context.Context, api *client.Client, id string, asJSON bool) error
}

func newOneJob(m *Main, name, jsonHelp string, do func(context.Context, *client.Client, string, bool) error) *oneJob {
	return &oneJob{connection: connection{m: m}, name: name, jsonHelp: jsonHelp, do: do}
}

func (c *oneJob) flags(fs *flag.FlagSet) {
	fs.BoolVar(&c.json, "json", false, c.jsonHelp)
	c.connection.flags(fs)
}

func (c *oneJob) run(ctx context.Context, args []string) error {
	id, err := oneArg(c.name, "a job id", args)
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	return c.do(ctx, api, id, c.json)
}
