package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobListEntry() entry {
	return entry{
		name: "job list", summary: "list jobs, newest first",
		text: `
The columns count the devices of each job: all that were selected so far, those that succeeded, and those that ended in
any other way.`,
		example: `
fleetjobs job list
fleetjobs job list --status running
fleetjobs job list --type twin --limit 100

# the ids of all jobs that failed
fleetjobs job list --status failed --all --json | jq -r '.[].jobId'`,
		make: func(m *Main) command { return &jobList{m: m, connection: connection{m: m}} },
	}
}

type jobList struct {
	m *Main
	connection
	listing

	status, kind string
}

func (c *jobList) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.status, "status", "", "only jobs with this `status`: scheduled, running, blocked, paused, stopping, completed, failed or cancelled")
	fs.StringVar(&c.kind, "type", "", "only jobs of this `type`: method, twin or steps")
	c.listing.flags(fs, "jobs")
	c.connection.flags(fs)
}

func (c *jobList) run(ctx context.Context, args []string) error {
	if err := noArgs("job list", args); err != nil {
		return err
	}
	options := client.ListOptions{Status: c.status, Type: c.kind, PageSize: c.page(100)}
	switch c.kind {
	case "method":
		options.Type = client.TypeMethod
	case "twin":
		options.Type = client.TypeTwin
	case "steps":
		options.Type = client.TypeSteps
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	return printPages(c.m, c.listing, jobTable(), func(continuation string) ([]client.Job, string, error) {
		options.Continuation = continuation
		page, err := api.Jobs(ctx, options)
		if err != nil {
			return nil, "", err
		}
		return page.Jobs, page.Continuation, nil
	})
}

func jobTable() table[client.Job] {
	return table[client.Job]{
		none:   "there is no such job",
		header: []string{"JOB", "STATUS", "OPERATION", "DEVICES", "OK", "NOT OK", "START"},
		row: func(j *client.Job) []string {
			return []string{
				plain(j.ID), plain(j.Status), cutTo(plain(operation(j)), 40), count(j.Statistics.DeviceCount),
				count(j.Statistics.SucceededCount), count(j.Statistics.FailedCount), clock(j.StartTime),
			}
		},
		raw: func(j *client.Job) json.RawMessage { return j.Raw },
	}
}

// operation says in a few words what a job does. Lists carry no twin patches, single jobs do.
func operation(j *client.Job) string {
	switch {
	case j.Method != nil:
		return "method " + j.Method.Name
	case j.Type == client.TypeSteps && len(j.Steps) > 0:
		return fmt.Sprintf("%d steps", len(j.Steps))
	case j.Type == client.TypeSteps:
		return "steps" // of a list, which is without them
	case j.Type != client.TypeTwin:
		return j.Type
	case j.UpdateTwin == nil:
		return "twin update"
	case j.UpdateTwin.Properties == nil:
		return "twin update: tags"
	case len(j.UpdateTwin.Tags) == 0:
		return "twin update: desired properties"
	}
	return "twin update: desired properties and tags"
}
