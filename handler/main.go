// Command handler is the deployed binary of fleetjobs: an Azure Functions custom handler that serves every function of the
// app. It owns the wiring and nothing else: settings to clients, clients to the dispatcher and the HTTP API, both to the
// functions of their folders.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/fleetjobs/fleetjobs/internal/api"
	"github.com/fleetjobs/fleetjobs/internal/azurecred"
	"github.com/fleetjobs/fleetjobs/internal/config"
	"github.com/fleetjobs/fleetjobs/internal/customhandler"
	"github.com/fleetjobs/fleetjobs/internal/dispatch"
	"github.com/fleetjobs/fleetjobs/internal/hubapi"
	"github.com/fleetjobs/fleetjobs/internal/notify"
	"github.com/fleetjobs/fleetjobs/internal/principal"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
	"github.com/fleetjobs/fleetjobs/internal/telemetry"
	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
	"github.com/fleetjobs/fleetjobs/internal/workqueue"
)

// version is set by the linker.
var version = "dev"

// workQueue is the queue that functions/RunShard/function.json names.
const workQueue = "fleetjobs-work"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Environ()); err != nil {
		fmt.Fprintln(os.Stderr, "fleetjobs handler: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, environ []string) error {
	cfg, err := config.Load(environ)
	if err != nil {
		return err
	}
	logger := slog.New(logline.NewHandler(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: cfg.LogLevel})))
	tel, err := telemetry.Start(ctx, telemetry.Options{
		Traces: cfg.OTel.Traces(), Metrics: cfg.OTel.Metrics(), Version: version, Logger: logger,
	})
	if err != nil {
		return err
	}
	defer tel.Stop(ctx)
	return serve(ctx, cfg, environ, wiring{logger, tel})
}

// wiring is what everything else records with.
type wiring struct {
	logger *slog.Logger
	tel    *telemetry.Telemetry
}

func serve(ctx context.Context, cfg config.Config, environ []string, w wiring) error {
	app, err := newApp(cfg, environ, w)
	if err != nil {
		return err
	}
	functions, err := customhandler.New(customhandler.Options{
		HTTP:         w.tel.HTTP(app.http),
		HTTPPrefixes: append(hubapi.Prefixes(), apiPrefix),
		Timers:       map[string]customhandler.TimerFunc{"TimerDispatch": app.timerDispatch},
		Queues:       map[string]customhandler.QueueFunc{"RunShard": app.runShard},
		Logger:       w.logger,
	})
	if err != nil {
		return err
	}
	listener, err := customhandler.Listen(os.Getenv)
	if err != nil {
		return err
	}
	logline.Write(ctx, w.logger, logline.HandlerStarted{
		Version: version, Hub: app.hub, Address: listener.Addr().String(), OTel: cfg.OTel.Traces() || cfg.OTel.Metrics(),
	})
	return customhandler.Serve(ctx, listener, functions)
}

// app holds what the functions share.
type app struct {
	store *tablestore.Store
	jobs  *dispatch.Dispatcher
	http  http.Handler
	hub   string
	tel   *telemetry.Telemetry
}

func newApp(cfg config.Config, environ []string, w wiring) (*app, error) {
	hub, err := newHub(cfg, cfg.Hub, w.tel)
	if err != nil {
		return nil, err
	}
	account := azurecred.FromEnviron("AzureWebJobsStorage", environ)
	tables, err := azurecred.Tables(account)
	if err != nil {
		return nil, err
	}
	queues, err := azurecred.Queues(account)
	if err != nil {
		return nil, err
	}
	queue, err := workqueue.New(queues, workQueue)
	if err != nil {
		return nil, err
	}
	sender, err := newSender(cfg)
	if err != nil {
		return nil, err
	}
	rates, err := cfg.Pace.Rates()
	if err != nil {
		return nil, err
	}
	retention, err := newRetention(cfg, account, hub.HostName())
	if err != nil {
		return nil, err
	}
	further, checked, err := furtherHubs(cfg, w.tel)
	if err != nil {
		return nil, err
	}
	a := &app{store: tablestore.New(tables, hub.HostName(), nil), hub: hub.HostName(), tel: w.tel}
	a.jobs = dispatch.New(a.store, queue, hub, dispatch.Options{
		Logger: w.logger, Tracer: w.tel.Tracer, Meter: w.tel.Meter, Tick: cfg.TickInterval,
		CallsInFlight: cfg.MaxCallsInFlight, MaxRuns: cfg.MaxConcurrentRuns, Slice: cfg.Slice(), Lease: cfg.Lease(), Rates: rates,
		HubName: cfg.Hubs.Default, Hubs: further,
		Notify: dispatch.Notify{Sender: sender, JobJSON: api.JobJSON}, Retention: retention,
	})
	native := api.New(api.Options{
		Jobs: a.jobs, Store: a.store, Ready: a.store.Ensure, PublicURL: cfg.PublicURL, Logger: w.logger, Version: version,
		RequestID: customhandler.InvocationID,
		Callers: principal.New(principal.Options{
			EasyAuth: cfg.EasyAuth, RolesRequired: cfg.RequireRoles, Deployment: hub.HostName(),
		}),
		Health: api.Health{Ticks: a.store, Queue: queue, Hub: hub, HubName: cfg.Hubs.Default, Further: checked, Tick: cfg.TickInterval},
	})
	facade, err := newFacade(cfg, a, hub, w)
	if err != nil {
		return nil, err
	}
	a.http = byPath(native, facade)
	return a, nil
}

func newSender(cfg config.Config) (*notify.Sender, error) {
	keys, err := notify.ParseKeys(cfg.Notify.CallbackKeys.Reveal())
	if err != nil {
		return nil, fmt.Errorf("reading FLEETJOBS_CALLBACK_KEYS: %w", err)
	}
	allow, err := notify.ParseAllow(cfg.Notify.CallbackAllow)
	if err != nil {
		return nil, fmt.Errorf("reading FLEETJOBS_CALLBACK_ALLOW: %w", err)
	}
	topic := notify.Topic{Endpoint: cfg.Notify.EventGridEndpoint, Key: cfg.Notify.EventGridKey.Reveal()}
	if topic.Endpoint != "" && topic.Key == "" {
		if topic.Credential, err = newIdentity(cfg.Storage); err != nil {
			return nil, err
		}
	}
	return notify.New(notify.Options{Source: cfg.PublicURL + "/api/jobs", Keys: keys, Allow: allow, Topic: topic}), nil
}

// newIdentity gives the identity that the app has in Azure: the one that storage names, else what the environment offers.
func newIdentity(s config.Storage) (azcore.TokenCredential, error) {
	if s.Credential == "" && s.ClientID == "" {
		return azidentity.NewDefaultAzureCredential(nil)
	}
	opts := &azidentity.ManagedIdentityCredentialOptions{}
	if s.ClientID != "" {
		opts.ID = azidentity.ClientID(s.ClientID)
	}
	return azidentity.NewManagedIdentityCredential(opts)
}

// tickTime is how long a timer tick may take: what it does not reach, the next one does.
const tickTime = 10 * time.Second

func (a *app) timerDispatch(ctx context.Context, _ customhandler.Timer) error {
	ctx, cancel := context.WithTimeout(ctx, tickTime)
	defer cancel()
	if err := a.store.Ensure(ctx); err != nil {
		return err
	}
	return a.tel.Timer(ctx, "TimerDispatch", a.jobs.Tick)
}

func (a *app) runShard(ctx context.Context, m customhandler.Message) error {
	if err := a.store.Ensure(ctx); err != nil {
		return err
	}
	return a.jobs.Handle(ctx, dispatch.Delivery{Body: m.Body, Owner: m.InvocationID, Redelivered: m.DequeueCount > 1})
}
