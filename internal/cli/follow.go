package cli

import (
	"context"
	"flag"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// follow is what commands that make a job have in common: what they tell about it, and whether they wait for its end.
type follow struct {
	watch, json bool
}

func (f *follow) flags(fs *flag.FlagSet, jsonHelp string) {
	fs.BoolVar(&f.watch, "watch", false, "wait for the end and show progress; the exit code tells how it went")
	fs.BoolVar(&f.json, "json", false, jsonHelp)
}

// made tells about a job that was made.
func (f *follow) made(ctx context.Context, m *Main, api *client.Client, job *client.Job) error {
	if f.json && !f.watch {
		return m.printJSON(job.Raw)
	}
	if !f.json {
		m.printf("job %s: %s\n", plain(job.ID), plain(job.Status))
	}
	m.warn(job.Warnings)
	if f.watch {
		return (&watch{m: m, api: api, id: job.ID, json: f.json}).toEnd(ctx)
	}
	m.printf("follow it with: fleetjobs job watch %s\n", plain(job.ID))
	return nil
}
