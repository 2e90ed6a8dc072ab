package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// instruments are those that are written to where something happens; the others are read when metrics are exported.
type instruments struct {
	transitions metric.Int64Counter
	executions  metric.Int64Counter
	deliveries  metric.Int64Counter
	dispatchLag metric.Float64Histogram
	shardTime   metric.Float64Histogram
	queueAge    metric.Float64Histogram
}

// seconds are the bounds of the histograms: from what nobody notices to what somebody should look at.
func seconds() metric.HistogramOption {
	return metric.WithExplicitBucketBoundaries(0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600)
}

// measure makes the instruments and lets the meter read the process's counts. It fails only if the names are wrong.
func (o *observer) measure(meter metric.Meter) error {
	var errs [6]error
	o.transitions, errs[0] = meter.Int64Counter("fleetjobs.job.transitions", metric.WithUnit("{job}"),
		metric.WithDescription("Jobs that came into a status"))
	o.executions, errs[1] = meter.Int64Counter("fleetjobs.executions", metric.WithUnit("{execution}"),
		metric.WithDescription("Executions that ended, by state"))
	o.dispatchLag, errs[2] = meter.Float64Histogram("fleetjobs.dispatch.lag", metric.WithUnit("s"), seconds(),
		metric.WithDescription("Time between the start time of a run and its first call"))
	o.shardTime, errs[3] = meter.Float64Histogram("fleetjobs.shard.duration", metric.WithUnit("s"), seconds(),
		metric.WithDescription("Time that an invocation worked on a shard"))
	o.queueAge, errs[4] = meter.Float64Histogram("fleetjobs.queue.age", metric.WithUnit("s"), seconds(),
		metric.WithDescription("Time between a message being due and its work, by kind"))
	o.deliveries, errs[5] = meter.Int64Counter("fleetjobs.deliveries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts to deliver an event, by channel and outcome"))
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("making instruments: %w", err)
	}
	return errors.Join(o.measureJobs(meter), o.measureHub(meter), o.measureGate(meter))
}

// jobsStale is how old a count of jobs may be: the timer runs on one instance, which changes.
const jobsStale = 10 * time.Minute

func (o *observer) measureJobs(meter metric.Meter) error {
	_, err := meter.Int64ObservableGauge("fleetjobs.jobs", metric.WithUnit("{job}"),
		metric.WithDescription("Jobs that are handed out and have not ended, by status, as of the last timer tick"),
		metric.WithInt64Callback(func(_ context.Context, out metric.Int64Observer) error {
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.last == nil || o.now().Sub(o.at) > jobsStale {
				return nil
			}
			for _, s := range job.Statuses() {
				if !s.Ended() {
					out.Observe(int64(o.last[s]), statusOption(s))
				}
			}
			return nil
		}))
	return err
}

func (o *observer) measureHub(meter metric.Meter) error {
	_, err := meter.Int64ObservableCounter("fleetjobs.hub.calls", metric.WithUnit("{call}"),
		metric.WithDescription("Requests to the hub, by operation"),
		metric.WithInt64Callback(o.observeHub(func(m *hubMeter, op hubOperation) int64 { return m.calls[op].Load() })))
	_, err2 := meter.Int64ObservableCounter("fleetjobs.hub.throttled", metric.WithUnit("{call}"),
		metric.WithDescription("Requests that the hub throttled, by operation"),
		metric.WithInt64Callback(o.observeHub(func(m *hubMeter, op hubOperation) int64 { return m.throttles[op].Load() })))
	_, err3 := meter.Float64ObservableGauge("fleetjobs.hub.allowance", metric.WithUnit("{call}/s"),
		metric.WithDescription("Calls per second that the hub allows the deployment, by operation"),
		metric.WithFloat64Callback(func(_ context.Context, out metric.Float64Observer) error {
			for _, l := range o.lanes {
				for op := range hubOperations {
					if perSecond := l.rates[op.allowance()]; perSecond > 0 {
						out.Observe(perSecond, l.about(op))
					}
				}
			}
			return nil
		}))
	return errors.Join(err, err2, err3)
}

// about tells the metrics of a hub's operation from those of others.
func (l *lane) about(op hubOperation) metric.MeasurementOption {
	return metric.WithAttributes(append([]attribute.KeyValue{operationKey.String(op.String())}, l.attrs...)...)
}

func (o *observer) observeHub(read func(*hubMeter, hubOperation) int64) metric.Int64Callback {
	return func(_ context.Context, out metric.Int64Observer) error {
		for _, l := range o.lanes {
			for op := range hubOperations {
				out.Observe(read(&l.meter, op), l.about(op))
			}
		}
		return nil
	}
}

func (o *observer) measureGate(meter metric.Meter) error {
	_, err := meter.Int64ObservableGauge("fleetjobs.hub.calls.limit", metric.WithUnit("{call}"),
		metric.WithDescription("Device calls that the process allows itself at once"),
		metric.WithInt64Callback(func(_ context.Context, out metric.Int64Observer) error {
			for _, l := range o.lanes {
				out.Observe(int64(l.gate.allowed()), metric.WithAttributes(l.attrs...))
			}
			return nil
		}))
	return err
}

// executed counts executions that ended, of a run at the default hub or at another.
func (o *observer) executed(ctx context.Context, hub string, c job.Counts) {
	for _, s := range job.ExecutionStates() {
		n := c.Of(s)
		if !s.Final() || n == 0 {
			continue
		}
		attrs := []attribute.KeyValue{stateKey.String(s.String())}
		if hub != "" {
			attrs = append(attrs, hubKey.String(hub))
		}
		o.executions.Add(ctx, int64(n), metric.WithAttributes(attrs...))
	}
}

func statusOption(s job.Status) metric.MeasurementOption {
	return metric.WithAttributes(statusKey.String(string(s)))
}

func kindOption(k kind) metric.MeasurementOption {
	return metric.WithAttributes(messageKindKey.String(string(k)))
}
