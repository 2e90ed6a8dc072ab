package cli

import (
	"context"
	"encoding/json"
	"flag"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobAuditEntry() entry {
	return entry{
		name: "job audit", args: "[job id]", summary: "tell who changed which job, newest first",
		text: `
Of one job, also of one that was deleted, or of all. A person or an application is shown by its name where the deployment signs
callers in; a key by a short hash, which 'job show' shows as well.`,
		example: `
fleetjobs job audit reboot-42
fleetjobs job audit --limit 100

# who deleted jobs?
fleetjobs job audit --all --json | jq -r '.[] | select(.action == "deleted") | [.time, .jobId, .by.name // .by.id] | @tsv'`,
		make: func(m *Main) command { return &jobAudit{m: m, connection: connection{m: m}} },
	}
}

type jobAudit struct {
	m *Main
	connection
	limit     int
	all, json bool
}

func (c *jobAudit) flags(fs *flag.FlagSet) {
	fs.IntVar(&c.limit, "limit", 20, "how `many` changes to list")
	fs.BoolVar(&c.all, "all", false, "list all")
	fs.BoolVar(&c.json, "json", false, "print a JSON array of changes")
	c.connection.flags(fs)
}

func (c *jobAudit) run(ctx context.Context, args []string) error {
	id := ""
	if len(args) > 0 {
		var err error
		if id, err = oneArg("job audit", "a job id", args); err != nil {
			return err
		}
	}
	limit, err := pageLimit(c.limit, c.all)
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	var changes []client.Change
	options := client.ListOptions{PageSize: min(limit, 500)}
	more := true
	for more && len(changes) < limit {
		page, err := api.Audit(ctx, id, options)
		if err != nil {
			return err
		}
		changes = append(changes, page.Changes...)
		options.Continuation, more = page.Continuation, page.Continuation != ""
	}
	if len(changes) > limit {
		changes, more = changes[:limit], true
	}
	return c.print(changes, more)
}

func (c *jobAudit) print(changes []client.Change, more bool) error {
	if c.json {
		raw := make([]json.RawMessage, len(changes))
		for i := range changes {
			raw[i] = changes[i].Raw
		}
		return c.m.printArray(raw)
	}
	if len(changes) == 0 {
		c.m.remark("there is no entry")
		return nil
	}
	rows := make([][]string, len(changes))
	for i := range changes {
		e := &changes[i]
		rows[i] = []string{
			clock(e.Time), plain(e.Action), plain(e.JobID), cutTo(who(e.By), 60), cutTo(plain(e.UserAgent), 40),
		}
	}
	if err := c.m.table([]string{"TIME", "ACTION", "JOB", "BY", "WITH"}, rows); err != nil {
		return err
	}
	if more {
		c.m.remark("there are more; use --limit or --all")
	}
	return nil
}

// who names a principal for people to read, "" when the service did not tell.
func who(p client.Principal) string {
	switch {
	case p.Kind == "":
		return ""
	case p.Name != "":
		return plain(p.Name + " (" + p.ID + ")")
	}
	return plain(strings.TrimSpace(p.Kind + " " + p.ID))
}
