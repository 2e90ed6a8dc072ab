package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"flag"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobExecutionsEntry() entry {
	return entry{
		name: "job executions", args: "<job id>", summary: "show what became of each device of a job",
		text: `
Every device of a job is in exactly one state: queued, inProgress, succeeded, failed, timedOut, rejected, canceled,
removed or inDoubt; of a job with steps, at the step that it is at or ended in. REASON says why a device did not
succeed, or what it is waited for; CODE is the status that it answered with, and ANSWER what it answered,
when it is tried again, or the text of the error. --device shows one device with all that is known of it.`,
		example: `
fleetjobs job executions reboot-42
fleetjobs job executions reboot-42 --status failed
fleetjobs job executions reboot-42 --device simDevice --json

# everything, for a spreadsheet
fleetjobs job executions reboot-42 --all --csv > reboot-42.csv

# the devices to try again
fleetjobs job executions reboot-42 --status timedOut --all --json | jq -r '.[].deviceId' > again.txt
fleetjobs job create --method reboot --devices-file again.txt`,
		make: func(m *Main) command { return &jobExecutions{m: m, connection: connection{m: m}} },
	}
}

type jobExecutions struct {
	m *Main
	connection
	status, device string
	runID, hub     string
	limit          int
	all, csv, json bool
}

func (c *jobExecutions) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.status, "status", "", "only devices in this `state`")
	fs.StringVar(&c.runID, "run", "", "of the run with this `id`, as 'job runs' tells; of the latest unless given")
	fs.StringVar(&c.hub, "hub", "", "of a job with hubs, only devices of the hub with this `name`")
	fs.StringVar(&c.device, "device", "", "only the device with this `id`, or the module device/module")
	fs.IntVar(&c.limit, "limit", 100, "how `many` to show")
	fs.BoolVar(&c.all, "all", false, "show all")
	fs.BoolVar(&c.csv, "csv", false, "print CSV, as the service makes it")
	fs.BoolVar(&c.json, "json", false, "print a JSON array of executions; with --device, the one execution")
	c.connection.flags(fs)
}

// The largest pages that the service gives.
const (
	executionsPage = 1000
	csvPage        = 10_000
)

func (c *jobExecutions) run(ctx context.Context, args []string) error {
	id, err := oneArg("job executions", "a job id", args)
	if err != nil {
		return err
	}
	limit, err := pageLimit(c.limit, c.all)
	switch {
	case err != nil:
		return err
	case c.csv && c.json:
		return usagef("give one of both", "--csv does not go with --json")
	case c.device != "" && (c.csv || c.status != ""):
		return usagef("leave them out", "--device shows one device; --status and --csv do not go with it")
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	if c.device != "" {
		return c.one(ctx, api, id)
	}
	pages := &executionPages{m: c.m, left: limit, json: c.json}
	options := client.ListOptions{Status: c.status, Run: c.runID, Hub: c.hub}
	if c.csv {
		return pages.csv(ctx, api, id, options)
	}
	return pages.print(ctx, api, id, options)
}

func (c *jobExecutions) one(ctx context.Context, api *client.Client, id string) error {
	e, err := api.Execution(ctx, id, c.device, client.ListOptions{Run: c.runID, Hub: c.hub})
	if err != nil {
		return err
	}
	if c.json {
		return c.m.printJSON(e.Raw)
	}
	w := tabwriter.NewWriter(c.m.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range facts(e.Raw) {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", f.name, f.value)
	}
	return w.Flush()
}

// executionPages prints page after page, so that a million executions need no more memory than one page.
type executionPages struct {
	m    *Main
	left int // executions that may still be printed
	json bool
	any  bool // something was printed
}

func (p *executionPages) print(ctx context.Context, api *client.Client, id string, options client.ListOptions) error {
	separator := "["
	for {
		options.PageSize = min(p.left, executionsPage)
		page, err := api.Executions(ctx, id, options)
		if err != nil {
			return err
		}
		shown := page.Executions[:min(len(page.Executions), p.left)]
		p.left -= len(shown)
		if p.json {
			for i := range shown {
				p.m.printf("%s\n  %s", separator, bytes.TrimSpace(shown[i].Raw))
				separator = ","
			}
		} else if err := p.table(shown); err != nil {
			return err
		}
		options.Continuation = page.Continuation
		if page.Continuation == "" || p.left == 0 {
			break
		}
	}
	switch {
	case p.json && separator == "[":
		p.m.printf("[]\n")
	case p.json:
		p.m.printf("\n]\n")
	case !p.any:
		p.m.remark("there is no such device in the job")
	}
	p.remarkMore(options.Continuation)
	return nil
}

func (p *executionPages) remarkMore(continuation string) {
	if continuation != "" {
		p.m.remark("there are more; use --limit or --all")
	}
}

// table prints a page. A page may be empty and not be the last.
func (p *executionPages) table(executions []client.Execution) error {
	if len(executions) == 0 {
		return nil
	}
	p.any = true
	rows := make([][]string, len(executions))
	for i := range executions {
		rows[i] = executionRow(&executions[i])
	}
	return p.m.table(executionHeader(), rows)
}

func executionHeader() []string {
	return []string{"DEVICE", "STATE", "REASON", "CODE", "TRIES", "END", "ANSWER"}
}

func executionRow(e *client.Execution) []string {
	code := "-"
	if e.DeviceStatus != 0 {
		code = strconv.Itoa(e.DeviceStatus)
	}
	state := e.Status
	if e.Step > 0 {
		state += ", step " + strconv.Itoa(e.Step)
	}
	return []string{
		plain(atHub(e)), plain(state), plain(cmp.Or(e.Error.Code, e.Substate, "-")), code, strconv.Itoa(e.Attempts), clock(e.EndTime),
		cutTo(plain(answer(e)), 60),
	}
}

// atHub names a device, with its hub where the job has several.
func atHub(e *client.Execution) string {
	if e.Hub == "" {
		return e.Target()
	}
	return e.Target() + "@" + e.Hub
}

func answer(e *client.Execution) string {
	text := cmp.Or(compact(e.Payload), e.PayloadText, e.Error.Message, "-")
	switch {
	case e.Substate != "" && len(e.Payload) == 0:
		return "until " + clock(e.AwaitedUntil)
	case !e.NextAttempt.IsZero():
		return "again at " + clock(e.NextAttempt) + ": " + text
	}
	return text
}

// csv passes the service's CSV on; pages after the first lose their header line.
func (p *executionPages) csv(ctx context.Context, api *client.Client, id string, options client.ListOptions) error {
	for first := true; ; first = false {
		options.PageSize = min(p.left, csvPage)
		var page bytes.Buffer
		next, err := api.ExecutionsCSV(ctx, id, options, &page)
		if err != nil {
			return err
		}
		text := page.Bytes()
		rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil {
			return fmt.Errorf("reading the CSV: %w", err)
		}
		if _, body, ok := bytes.Cut(text, []byte("\n")); ok && !first {
			text = body
		}
		if _, err := p.m.Stdout.Write(text); err != nil {
			return err
		}
		options.Continuation = next
		p.left -= max(0, len(rows)-1)
		if next == "" || p.left <= 0 {
			p.remarkMore(next)
			return nil
		}
	}
}
