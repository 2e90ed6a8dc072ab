package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
	"github.com/fleetjobs/fleetjobs/internal/hubapi"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// The variables that name a hub, as the app has them.
const (
	hubVariable   = "IOTHUB_CONNECTION_STRING"
	hubCAVariable = "IOTHUB_CA_FILE"
)

func importEntry() entry {
	return entry{
		name: "import", summary: "take over the scheduled jobs of an IoT hub",
		text: `
It lists the hub's own jobs that wait for their start time, and creates each of them here under the same id. Doing it again
changes nothing. Jobs that begin within a minute stay with the hub.

The hub keeps its jobs, and would carry them out too: --cancel cancels each there once it is stored here.`,
		example: `
export IOTHUB_CONNECTION_STRING='HostName=myhub.azure-devices.net;SharedAccessKeyName=service;SharedAccessKey=...'
fleetjobs import --dry-run
fleetjobs import --cancel`,
		make: func(m *Main) command { return &importer{m: m, connection: connection{m: m}} },
	}
}

type importer struct {
	m *Main
	connection
	hub, caFile    string
	dryRun, cancel bool
}

func (c *importer) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.hub, "hub", "", "service connection `string` of the hub; better in "+hubVariable+", where no process list shows it")
	fs.StringVar(&c.caFile, "ca-file", "", "`file` with certificates to trust besides the system's, for the simulator; instead of "+hubCAVariable)
	fs.BoolVar(&c.dryRun, "dry-run", false, "only show what would be taken over")
	fs.BoolVar(&c.cancel, "cancel", false, "cancel each job at the hub once it is stored here")
	c.connection.flags(fs)
}

func (c *importer) run(ctx context.Context, args []string) error {
	if err := noArgs("import", args); err != nil {
		return err
	}
	connection := cmp.Or(c.hub, c.m.Getenv(hubVariable))
	if connection == "" {
		return usagef("give --hub, or set "+hubVariable, "no hub is named")
	}
	hub, err := iothub.New(iothub.Options{
		ConnectionString: connection, CAFile: cmp.Or(c.caFile, c.m.Getenv(hubCAVariable)), UserAgent: "fleetjobs/" + c.m.Version,
	})
	if err != nil {
		return usagef("it must be a service connection string of the hub", "%s", err)
	}
	defer hub.Close()
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	if address, err := url.Parse(cmp.Or(c.url, c.m.Getenv(urlVariable))); err == nil && address.Host == hub.HostName() {
		return usagef("the hub's own connection string is needed", "%s names the deployment itself", hubVariable)
	}
	return c.takeOver(ctx, &hubJobs{http: &http.Client{Transport: hub.Forwarder()}}, api)
}

// soon is how close to its start a job is left to the hub.
const soon = time.Minute

// takeOver goes on after a job that cannot be taken over, and fails in the end.
func (c *importer) takeOver(ctx context.Context, hub *hubJobs, api *client.Client) error {
	jobs, err := hub.waiting(ctx)
	if err != nil {
		return err
	}
	failed := 0
	for _, job := range jobs {
		outcome, err := c.one(ctx, hub, api, job)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failed++
			c.m.remark("job %s: %s", plain(job.ID), plain(err.Error()))
		default:
			c.m.printf("job %s: %s\n", plain(job.ID), outcome)
		}
	}
	switch {
	case len(jobs) == 0:
		c.m.printf("no job waits at the hub\n")
	case failed > 0:
		return fmt.Errorf("%d of %d jobs were not taken over", failed, len(jobs))
	}
	return nil
}

// one takes a job over and says what was done.
func (c *importer) one(ctx context.Context, hub *hubJobs, api *client.Client, waiting hubJob) (string, error) {
	def, err := hubapi.ParseJob(waiting.raw, waiting.ID, c.m.Now())
	if err != nil {
		return "", err
	}
	if def.StartTime.Before(c.m.Now().Add(soon)) {
		return "left to the hub, it begins within a minute", nil
	}
	outcome := "created"
	if _, err := api.Job(ctx, waiting.ID); err == nil {
		outcome = "already here"
	} else if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != http.StatusNotFound {
		return "", err
	}
	if c.dryRun {
		if outcome == "created" {
			outcome = "would be created"
		}
		return outcome + ", starts " + def.StartTime.Format(time.RFC3339), nil
	}
	body, err := json.Marshal(struct {
		job.Definition
		Placeholders bool `json:"placeholders"` // false, said: the hub knows none
	}{Definition: def})
	if err != nil {
		return "", err
	}
	if _, err := api.Create(ctx, waiting.ID, body); err != nil { // also refuses another job of the same id
		return "", err
	}
	if c.cancel {
		if err := hub.cancel(ctx, waiting.ID); err != nil {
			return "", errors.Join(errors.New("is stored here and could not be cancelled at the hub"), err)
		}
		outcome += ", cancelled at the hub"
	}
	return outcome, nil
}
