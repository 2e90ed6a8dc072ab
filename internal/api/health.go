package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
)

// Ticks tells when the timer last did its work, the zero time before the first tick; *tablestore.Store does.
type Ticks interface {
	LastTick(ctx context.Context) (time.Time, error)
}

// WorkQueue tells about how many messages wait, and when the one at the head was sent; *workqueue.Queue does.
type WorkQueue interface {
	Depth(ctx context.Context) (int, error)
	Oldest(ctx context.Context) (sent time.Time, found bool, err error)
}

// Hub answers a query; *iothub.Client does.
type Hub interface {
	QueryPage(ctx context.Context, query, continuation string, maxItems int) (iothub.Page, error)
}

// Health is what /api/health/details looks at. All but HubCheckAge are required.
type Health struct {
	Ticks Ticks
	Queue WorkQueue
	Hub   Hub
	// HubName is that of Hub, and Further are the hubs beside it, if the deployment has any.
	HubName string
	Further []NamedHub
	// Tick is the time between two timer ticks.
	Tick time.Duration
	// HubCheckAge is how long an answer of the hub holds: asking costs one of the queries that jobs need, of which an S1 unit
	// grants 20 a minute. Default: 30 s.
	HubCheckAge time.Duration
}

const (
	// checkTime bounds each check; they run side by side.
	checkTime = 5 * time.Second
	// timerSilence is how long no tick may come, besides two ticks: when the instance of a timer dies, its lease of a minute
	// has to end, and the others look once a minute.
	timerSilence = 2 * time.Minute
	// stalledAfter is the age at which a message that nobody takes is a problem. Those that are put back are new ones.
	stalledAfter = 10 * time.Minute
	// hubProbe is the cheapest query that needs the right to query.
	hubProbe = "SELECT deviceId FROM devices"
)

// partState says what became of one check. The words are all that a caller sees of an error.
type partState string

const (
	partOK          partState = "ok"
	partRefused     partState = "refused"
	partUnreachable partState = "unreachable"
	partThrottled   partState = "throttled"
	partQuotaSpent  partState = "quotaSpent"
	partFailed      partState = "failed"
)

// healthStatus sums up; unhealthy is for deployments that have a healthProblem.
type healthStatus string

const (
	healthOK  healthStatus = "ok"
	unhealthy healthStatus = "unhealthy"
)

// healthProblem is what keeps jobs from going on.
type healthProblem string

const (
	tablesDown   healthProblem = "tablesUnavailable"
	queueDown    healthProblem = "queueUnavailable"
	hubDown      healthProblem = "hubUnavailable"
	queueStalled healthProblem = "queueStalled"
	timerOverdue healthProblem = "timerOverdue"
)

// healthView is the health of the deployment in JSON. openapi.yaml describes each member.
type healthView struct {
	Status        healthStatus    `json:"status"`
	Problems      []healthProblem `json:"problems"`
	Version       string          `json:"version"`
	UptimeSeconds int64           `json:"uptimeSeconds"`
	Tables        partView        `json:"tables"`
	Queue         queueView       `json:"queue"`
	Hub           hubView         `json:"hub"`
	Hubs          []hubView       `json:"hubs,omitempty"`
	Timer         *timerView      `json:"timer,omitempty"`
}

type partView struct {
	State partState `json:"state"`
}

type queueView struct {
	State         partState `json:"state"`
	Messages      *int      `json:"approximateMessages,omitempty"`
	OldestTime    instant   `json:"oldestMessageTime,omitzero"`
	OldestSeconds *int64    `json:"oldestMessageAgeSeconds,omitempty"`
}

type hubView struct {
	Hub     string    `json:"hub,omitempty"`
	State   partState `json:"state"`
	Checked instant   `json:"checkedTime"`
}

type timerView struct {
	LastTick   instant `json:"lastTickTime,omitzero"`
	AgeSeconds *int64  `json:"lastTickAgeSeconds,omitempty"`
	Overdue    bool    `json:"overdue"`
}

// health makes the checks. It remembers what the hubs last answered.
type health struct {
	Health
	started time.Time
	now     func() time.Time

	hubs []*hubCheck // the default one first
}

func newHealth(o Health, now func() time.Time) *health {
	o.HubCheckAge = cmp.Or(o.HubCheckAge, 30*time.Second)
	return &health{Health: o, started: now(), now: now, hubs: hubChecks(o)}
}

// alive says that the process answers, and nothing else: whoever asks needs no key, and a platform that ends instances because
// of the answer must not end all of them while storage or the hub is down.
func (h *handler) alive(context.Context, *request) (*answer, error) {
	return jsonAnswer(http.StatusOK, map[string]healthStatus{"status": healthOK})
}

// healthDetails looks at everything that the deployment needs.
func (h *handler) healthDetails(ctx context.Context, r *request) (*answer, error) {
	v, err := h.health.check(ctx)
	if r.Context().Err() != nil {
		return nil, r.Context().Err() // what was found out is about the caller who has gone
	}
	v.Version = h.version
	status := http.StatusOK
	if len(v.Problems) > 0 {
		v.Status, status = unhealthy, http.StatusServiceUnavailable
		attrs := []slog.Attr{slog.Any("problems", v.Problems)}
		if err != nil {
			attrs = append(attrs, slog.String("error", withoutQuery(err)))
		}
		h.logger.LogAttrs(ctx, slog.LevelError, "the deployment is not healthy", attrs...)
	}
	return jsonAnswer(status, v)
}

// check gives the health and, for the log, the errors behind its words.
func (h *health) check(ctx context.Context) (*healthView, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	v := &healthView{Status: healthOK, Problems: []healthProblem{}, UptimeSeconds: seconds(h.now().Sub(h.started))}
	var tables, queue, hub error
	var checks sync.WaitGroup
	checks.Go(func() { v.Timer, tables = h.timer(ctx) })
	checks.Go(func() { v.Queue, queue = h.queue(ctx) })
	checks.Go(func() { hub = h.allHubs(ctx, v) })
	checks.Wait()
	v.Tables.State = storageState(tables)
	for _, p := range []struct {
		name healthProblem
		is   bool
	}{
		{tablesDown, tables != nil},
		{queueDown, queue != nil},
		{hubDown, hub != nil},
		{queueStalled, v.Queue.OldestSeconds != nil && *v.Queue.OldestSeconds > seconds(stalledAfter)},
		{timerOverdue, v.Timer != nil && v.Timer.Overdue},
	} {
		if p.is {
			v.Problems = append(v.Problems, p.name)
		}
	}
	return v, errors.Join(tables, queue, hub)
}

// timer reads the last tick, which also shows whether the tables can be reached. A deployment that has never ticked gets as
// long as one whose timer has just fallen silent.
func (h *health) timer(ctx context.Context) (*timerView, error) {
	last, err := h.Ticks.LastTick(ctx)
	if err != nil {
		return nil, fmt.Errorf("checking the tables: %w", err)
	}
	v, since := &timerView{LastTick: instant(last)}, h.started
	if !last.IsZero() {
		v.AgeSeconds, since = new(seconds(h.now().Sub(last))), last
	}
	v.Overdue = h.now().Sub(since) > 2*h.Tick+timerSilence
	return v, nil
}

func (h *health) queue(ctx context.Context) (queueView, error) {
	depth, err := h.Queue.Depth(ctx)
	if err == nil {
		var sent time.Time
		var found bool
		if sent, found, err = h.Queue.Oldest(ctx); err == nil {
			v := queueView{State: partOK, Messages: &depth}
			if found {
				v.OldestTime, v.OldestSeconds = instant(sent), new(seconds(h.now().Sub(sent)))
			}
			return v, nil
		}
	}
	return queueView{State: storageState(err)}, fmt.Errorf("checking the queue: %w", err)
}

// storageState is the word for an error of storage.
func storageState(err error) partState {
	if err == nil {
		return partOK
	}
	if re, ok := errors.AsType[*azcore.ResponseError](err); ok {
		switch re.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return partRefused
		}
	}
	if outOfReach(err) {
		return partUnreachable
	}
	return partFailed
}

// hubState is the word for an error of the hub.
func hubState(err error) partState {
	var e *iothub.Error
	switch {
	case err == nil:
		return partOK
	case !errors.As(err, &e):
		return partFailed
	case e.Code == "IotHubQuotaExceeded" || e.Number == 403002:
		return partQuotaSpent
	case e.Kind == iothub.Throttled:
		return partThrottled
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return partRefused
	case e.Kind == iothub.HubFault || e.Kind == iothub.ServerError || e.Kind == iothub.Lost || e.Kind == iothub.Canceled:
		return partUnreachable
	}
	return partFailed
}

// anonymous reports whether the host lets a request through without a key, as functions/Health/function.json has it. The host
// minds neither the case of a path nor a slash at its end.
func anonymous(r *http.Request) bool {
	return strings.EqualFold(strings.Trim(r.URL.Path, "/"), strings.TrimPrefix(prefix, "/")+"health")
}

// seconds rounds down; clocks that differ give no negative age.
func seconds(d time.Duration) int64 { return max(0, int64(d/time.Second)) }
