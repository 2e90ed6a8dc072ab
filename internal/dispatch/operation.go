package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// call is what is done to one device.
type call func(ctx context.Context, deviceID string) (job.Outcome, error)

// operation is what a run does to each device; its body is encoded once.
type operation struct {
	do call
	// bind gives the call of one device, or the outcome of one that can not be called; nil where all get the same.
	bind func(e *job.Execution) (call, job.Outcome)
	kind pace.Operation // whose allowance a call uses
	cost int            // how much of it
	lane *lane

	guard   *guard        // nil without abort criteria
	retry   *job.Retry    // nil without retry criteria
	once    bool          // no device is called twice
	limit   time.Duration // of one call, 0 without
	windows *zoneWindows  // nil unless each device has the maintenance window at its own local time
	rolls   bool          // the run has a rollout, whose rate spreads calls wider than the hub's

	*stages // nil of a job that is done with one call for each device
	repeats *repeats
}

// operation reads the run's job and prepares its operation.
func (d *Dispatcher) operation(ctx context.Context, run *job.Run) (*operation, error) {
	return d.runs.operation(run.ID, func() (*operation, error) {
		rec, err := d.record(ctx, run)
		if err != nil {
			return nil, err
		}
		lane := d.lane(run.Hub)
		seq, err := rec.Sequence(d.opts.LookDelay)
		if err != nil {
			return nil, err
		}
		windows, err := d.zoneWindows(rec, run.ID)
		if err != nil {
			return nil, err
		}
		rules := operation{
			lane: lane, guard: newGuard(rec.Abort), retry: rec.Retry, once: rec.Once(), rolls: run.Rollout != nil, repeats: newRepeats(),
			windows: windows,
		}
		if rec.Timeout != nil {
			rules.limit = time.Duration(rec.Timeout.InProgress)
		}
		if seq != nil {
			return stagesOf(rec, seq, rules)
		}
		op, err := callOf(lane.hub, rec)
		if err != nil {
			return nil, err
		}
		return op.under(rules), nil
	})
}

// under gives the operation with a job's rules.
func (o *operation) under(rules operation) *operation {
	rules.do, rules.bind, rules.kind, rules.cost = o.do, o.bind, o.kind, o.cost
	return &rules
}

// callOf prepares what a job does to each device.
func callOf(hub Hub, rec *job.Record) (*operation, error) {
	op, err := operationOf(hub, &rec.Definition, rec.Judge)
	if err != nil || !rec.Placeholders {
		return op, err
	}
	op.bind, err = binder(hub, rec)
	return op, err
}

func operationOf(hub Hub, def *job.Definition, judge judgement) (*operation, error) {
	switch def.Type {
	case job.TypeMethod:
		return methodOperation(hub, def.Method, judge)
	case job.TypeTwin:
		return twinOperation(hub, def.UpdateTwin)
	}
	return nil, fmt.Errorf("job %s: type %q is not known", def.JobID, def.Type)
}

// record reads the job of a run, or the record that a recurring job's run has of its own. A job that was deleted and created
// again has another run: that is job.ErrNotFound too.
func (d *Dispatcher) record(ctx context.Context, run *job.Run) (*job.Record, error) {
	id, _ := job.WholeRun(run.ID)
	if _, _, recurring := job.NumberOf(id); recurring {
		return d.store.Occurrence(ctx, id)
	}
	rec, err := d.store.Job(ctx, run.JobID)
	if err != nil {
		return nil, err
	}
	if rec.RunID != id {
		return nil, fmt.Errorf("job %s no longer has run %s: %w", run.JobID, run.ID, job.ErrNotFound)
	}
	return rec, nil
}

// judgement says what a device's answer means.
type judgement func(status int, answer []byte) job.Outcome

func methodOperation(hub Hub, m *job.Method, judge judgement) (*operation, error) {
	method, err := iothub.NewMethod(m.Name, m.Payload,
		time.Duration(m.ResponseTimeoutInSeconds)*time.Second, time.Duration(m.ConnectTimeoutInSeconds)*time.Second)
	if err != nil {
		return nil, fmt.Errorf("preparing method %s: %w", m.Name, err)
	}
	cost := max(1, (len(m.Payload)+pace.MethodChunk-1)/pace.MethodChunk)
	return &operation{kind: pace.Methods, cost: cost, do: func(ctx context.Context, deviceID string) (job.Outcome, error) {
		result, err := hub.InvokeMethod(ctx, deviceID, method)
		if err != nil {
			return job.Outcome{}, err
		}
		return judge(result.Status, result.Payload), nil
	}}, nil
}

func twinOperation(hub Hub, u *job.TwinUpdate) (*operation, error) {
	var desired json.RawMessage
	if u.Properties != nil {
		desired = u.Properties.Desired
	}
	patch, err := iothub.NewTwinPatch(u.Tags, desired)
	if err != nil {
		return nil, fmt.Errorf("preparing the twin update: %w", err)
	}
	return &operation{kind: pace.TwinUpdates, cost: 1, do: func(ctx context.Context, deviceID string) (job.Outcome, error) {
		if err := hub.UpdateTwin(ctx, deviceID, patch); err != nil {
			return job.Outcome{}, err
		}
		return job.Outcome{State: job.Succeeded}, nil
	}}, nil
}

// verdict is what an attempt's error means for its execution.
type verdict int

const (
	final     verdict = iota // the outcome stands
	again                    // may have reached the device; to be tried again while attempts are left
	throttled                // never reached the device; wait as the hub asks
	hubFault                 // never reached the device; nothing is wrong with it
	stopped                  // we ended the call ourselves
)

// judge folds an error of the hub client to a verdict and the outcome that stands, or stands after the last attempt.
func judge(err error) (verdict, job.Outcome) {
	text := []byte(detailOf(err))
	failed := func(r job.Reason) job.Outcome { return job.Outcome{State: job.Failed, Reason: r, Answer: text} }
	switch iothub.KindOf(err) {
	case iothub.Offline:
		return final, failed(job.DeviceOffline)
	case iothub.NotFound:
		return final, failed(job.DeviceNotFound)
	case iothub.TimedOut:
		return final, job.Outcome{State: job.TimedOut, Reason: job.DeviceNoAnswer, Answer: text}
	case iothub.Unreadable:
		return final, failed(job.UnreadableAnswer)
	case iothub.Rejected:
		return final, failed(job.RequestRejected)
	case iothub.Throttled:
		return throttled, job.Outcome{}
	case iothub.HubFault:
		return hubFault, job.Outcome{}
	case iothub.Canceled:
		return stopped, job.Outcome{}
	case iothub.Lost:
		return again, failed(job.ConnectionLost)
	default:
		return again, failed(job.HubError)
	}
}
