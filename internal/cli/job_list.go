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
	status, kind string
	limit        int
	all, json    bool
}

func (c *jobList) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.status, "status", "", "only jobs with this `status`: scheduled, running, blocked, paused, stopping, completed, failed or cancelled")
	fs.StringVar(&c.kind, "type", "", "only jobs of this `type`: method or twin")
	fs.IntVar(&c.limit, "limit", 20, "how `many` to list")
	fs.BoolVar(&c.all, "all", false, "list all")
	fs.BoolVar(&c.json, "json", false, "print a JSON array of jobs")
	c.connection.flags(fs)
}

func (c *jobList) run(ctx context.Context, args []string) error {
	if err := noArgs("job list", args); err != nil {
		return err
	}
	limit, err := pageLimit(c.limit, c.all)
	if err != nil {
		return err
	}
	options := client.ListOptions{Status: c.status, Type: c.kind, PageSize: min(limit, 100)}
	switch c.kind {
	case "method":
		options.Type = client.TypeMethod
	case "twin":
		options.Type = client.TypeTwin
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	var jobs []client.Job
	more := true
	for more && len(jobs) < limit {
		page, err := api.Jobs(ctx, options)
		if err != nil {
			return err
		}
		jobs = append(jobs, page.Jobs...)
		options.Continuation, more = page.Continuation, page.Continuation != ""
	}
	if len(jobs) > limit {
		jobs, more = jobs[:limit], true
	}
	return c.print(jobs, more)
}

func (c *jobList) print(jobs []client.Job, more bool) error {
	if c.json {
		raw := make([]json.RawMessage, len(jobs))
		for i := range jobs {
			raw[i] = jobs[i].Raw
		}
		return c.m.printArray(raw)
	}
	if len(jobs) == 0 {
		c.m.remark("there is no such job")
		return nil
	}
	rows := make([][]string, len(jobs))
	for i := range jobs {
		j := &jobs[i]
		rows[i] = []string{
			plain(j.ID), plain(j.Status), cutTo(plain(operation(j)), 40), count(j.Statistics.DeviceCount),
			count(j.Statistics.SucceededCount), count(j.Statistics.FailedCount), clock(j.StartTime),
		}
	}
	if err := c.m.table([]string{"JOB", "STATUS", "OPERATION", "DEVICES", "OK", "NOT OK", "START"}, rows); err != nil {
		return err
	}
	if more {
		c.m.remark("there are more; use --limit or --all")
	}
	return nil
}

// printArray writes a JSON array.
func (m *Main) printArray(items []json.RawMessage) error {
	if len(items) == 0 {
		items = []json.RawMessage{}
	}
	text, err := json.Marshal(items)
	if err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	return m.printJSON(text)
}

// noLimit is more than any list has.
const noLimit = int(^uint(0) >> 1)

func pageLimit(limit int, all bool) (int, error) {
	switch {
	case all:
		return noLimit, nil
	case limit < 1:
		return 0, usagef("give a number from 1, or --all", "--limit %d is too small", limit)
	}
	return limit, nil
}

// operation says in a few words what a job does. Lists carry no twin patches, single jobs do.
func operation(j *client.Job) string {
	switch {
	case j.Method != nil:
		return "method " + j.Method.Name
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
