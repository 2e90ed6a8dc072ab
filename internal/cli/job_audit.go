package cli

import (
	"cmp"
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
callers in; a key by a short hash, which 'job show' shows as well. STATUS is the one before and the one after, NOTE the note or
remark that was given. JOB is the run's id where one run of a recurring job was meant.`,
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
	listing
}

func (c *jobAudit) flags(fs *flag.FlagSet) {
	c.listing.flags(fs, "changes")
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
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	return printPages(c.m, c.listing, changeTable(), func(continuation string) ([]client.Change, string, error) {
		page, err := api.Audit(ctx, id, client.ListOptions{PageSize: c.page(500), Continuation: continuation})
		if err != nil {
			return nil, "", err
		}
		return page.Changes, page.Continuation, nil
	})
}

func changeTable() table[client.Change] {
	return table[client.Change]{
		none:   "there is no entry",
		header: []string{"TIME", "ACTION", "JOB", "STATUS", "BY", "WITH", "NOTE"},
		row: func(e *client.Change) []string {
			return []string{
				clock(e.Time), plain(e.Action), plain(subject(e)), plain(becomes(e)), cutTo(who(e.By), 60), cutTo(plain(e.UserAgent), 40),
				cmp.Or(plain(e.Note), "-"),
			}
		},
		raw: func(e *client.Change) json.RawMessage { return e.Raw },
	}
}

// subject names what a change was made to: a template, a job, or one run of a recurring job, whose ids are the job's, a dot, some
// digits, a dot and the number of the run, 0 for the job itself.
func subject(e *client.Change) string {
	_, number, recurs := strings.Cut(strings.TrimPrefix(e.RunID, e.JobID+"."), ".")
	switch {
	case e.TemplateID != "":
		return "template " + e.TemplateID
	case recurs && number != "0":
		return e.RunID
	}
	return e.JobID
}

// becomes says how a change changed the status.
func becomes(e *client.Change) string {
	switch {
	case e.StatusBefore == e.StatusAfter || e.StatusBefore == "":
		return cmp.Or(e.StatusAfter, "-")
	case e.StatusAfter == "":
		return e.StatusBefore + " > gone"
	}
	return e.StatusBefore + " > " + e.StatusAfter
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
