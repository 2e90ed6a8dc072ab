package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func healthEntry() entry {
	return entry{
		name: "health", summary: "tell whether a deployment works",
		text: `
Storage, queue, hub and timer, as the deployment itself sees them. It exits with 0 if nothing keeps jobs from going on, and with
1 if something does or nobody answers. docs/health.md explains the words. It asks once and waits for nothing.`,
		example: `
fleetjobs health
fleetjobs health --json | jq -r '.problems[]'
fleetjobs health --url https://myfleet.azurewebsites.net || echo "fleetjobs is not well" | mail -s alert ops@example.com`,
		make: func(m *Main) command { return &healthCommand{connection: connection{m: m}} },
	}
}

type healthCommand struct {
	connection
	json bool
}

func (c *healthCommand) flags(fs *flag.FlagSet) {
	fs.BoolVar(&c.json, "json", false, "print the answer as JSON")
	c.connection.flags(fs)
}

func (c *healthCommand) run(ctx context.Context, args []string) error {
	if err := noArgs("health", args); err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	h, err := api.Health(ctx)
	if err != nil {
		return err
	}
	if c.json {
		err = c.m.printJSON(h.Raw)
	} else {
		err = c.m.describeHealth(h)
	}
	if err == nil && !h.OK() {
		err = fmt.Errorf("the deployment is not well: %s", plain(strings.Join(h.Problems, ", ")))
	}
	return err
}

// describeHealth prints names and values.
func (m *Main) describeHealth(h *client.Health) error {
	w := tabwriter.NewWriter(m.Stdout, 0, 0, 2, ' ', 0)
	line := func(name, value string) { _, _ = fmt.Fprintf(w, "%s\t%s\n", name, plain(value)) }
	line("status", h.Status)
	for _, problem := range h.Problems {
		line("problem", problem)
	}
	line("version", h.Version+", up for "+age(h.UptimeSeconds))
	line("tables", h.Tables.State)
	queue := h.Queue.State
	if queue == "ok" {
		queue += fmt.Sprintf(", about %s messages", count(h.Queue.Messages))
		if !h.Queue.Oldest.IsZero() {
			queue += ", the next one is " + age(h.Queue.OldestSeconds) + " old"
		}
	}
	line("queue", queue)
	line("hub", h.Hub.State+", asked at "+clock(h.Hub.Checked))
	for _, hub := range h.Hubs[min(1, len(h.Hubs)):] { // the first is the one above
		line("hub "+hub.Hub, hub.State+", asked at "+clock(hub.Checked))
	}
	line("timer", timerLine(h.Timer))
	return w.Flush()
}

func timerLine(t client.TimerHealth) string {
	text := "no tick is known"
	if !t.LastTick.IsZero() {
		text = "last tick " + age(t.AgeSeconds) + " ago"
	}
	if t.Overdue {
		text += ", overdue"
	}
	return text
}

func age(seconds int64) string {
	if seconds < 60 {
		return fmt.Sprintf("%d s", seconds)
	}
	return short(time.Duration(seconds) * time.Second)
}
