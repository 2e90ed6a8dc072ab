package cli

import (
	"context"
	"flag"
)

func jobCancelEntry() entry {
	return entry{
		name: "job cancel", args: "<job id>", summary: "stop a job, also while it runs",
		text: `
No new call begins within two seconds; calls that are on their way are waited for. Devices that were not reached become
canceled. A job that has ended cannot be cancelled.`,
		example: `
fleetjobs job cancel reboot-42
fleetjobs job cancel reboot-42 && fleetjobs job watch reboot-42`,
		make: func(m *Main) command { return &jobCancel{m: m, connection: connection{m: m}} },
	}
}

type jobCancel struct {
	m *Main
	connection
	json bool
}

func (c *jobCancel) flags(fs *flag.FlagSet) {
	fs.BoolVar(&c.json, "json", false, "print the job as JSON")
	c.connection.flags(fs)
}

func (c *jobCancel) run(ctx context.Context, args []string) error {
	id, err := oneArg("job cancel", "a job id", args)
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	job, err := api.Cancel(ctx, id)
	if err != nil {
		return err
	}
	if c.json {
		return c.m.printJSON(job.Raw)
	}
	c.m.printf("job %s: %s. %s\n", plain(job.ID), plain(job.Status), plain(job.StatusMessage))
	return nil
}

func jobDeleteEntry() entry {
	return entry{
		name: "job delete", args: "<job id>", summary: "delete a job that has ended, with its results",
		text:    "A job that has not ended is not deleted: cancel it first. The id is free again afterwards.",
		example: "fleetjobs job delete reboot-42",
		make:    func(m *Main) command { return &jobDelete{m: m, connection: connection{m: m}} },
	}
}

type jobDelete struct {
	m *Main
	connection
	json bool
}

func (c *jobDelete) flags(fs *flag.FlagSet) {
	fs.BoolVar(&c.json, "json", false, "print what was deleted as JSON")
	c.connection.flags(fs)
}

func (c *jobDelete) run(ctx context.Context, args []string) error {
	id, err := oneArg("job delete", "a job id", args)
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	if err := api.Delete(ctx, id); err != nil {
		return err
	}
	if c.json {
		c.m.printf("{\"deleted\": %q}\n", id)
		return nil
	}
	c.m.printf("job %s: deleted\n", plain(id))
	return nil
}
