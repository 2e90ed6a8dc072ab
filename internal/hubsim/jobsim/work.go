package jobsim

import (
	"context"
	"sync"
	"time"
)

// maxCalls is how many devices one job calls at once. A tier's pace does not fill it unless devices take minutes.
const maxCalls = 4096

// lead takes a job from its creation to its end.
func (e *Engine) lead(ctx context.Context, j *job, active bool) {
	clock := e.options.Clock
	due := clock.Sleep(ctx, j.due.Sub(clock.Now()))
	if due && !active {
		active = e.awaitSlot(ctx)
		due = active
	}
	if active {
		defer e.freeSlot()
	}
	if !due || !j.begin(clock.Now()) {
		return
	}
	ids, err := e.options.Fleet.Select(j.spec.Condition)
	if err != nil {
		j.end(working, failed, clock.Now(), err.Error())
		return
	}
	j.fix(ids, clock.Now())
	e.work(ctx, j)
	if ctx.Err() == nil {
		j.end(working, completed, clock.Now(), "")
	}
}

// work calls the devices of a job, each at the hub's pace, until all are done or the job's time is over.
func (e *Engine) work(ctx context.Context, j *job) {
	clock := e.options.Clock
	timed, cancel := ctx, context.CancelFunc(func() {})
	if limit := j.spec.MaxExecution; limit > 0 {
		timed, cancel = context.WithTimeout(ctx, max(1, clock.Real(limit)))
	}
	defer cancel()
	var calls sync.WaitGroup
	places := make(chan struct{}, min(maxCalls, len(j.rows)))
	due, ok := clock.Now(), false
	for i := range j.rows {
		select {
		case places <- struct{}{}:
		case <-timed.Done():
		}
		if due, ok = e.options.Fleet.Pace(timed, due); !ok {
			break
		}
		j.pick(i, clock.Now())
		calls.Go(func() {
			outcome := j.spec.Call(ctx, j.rows[i].id)
			j.settle(i, outcome, clock.Now())
			<-places
		})
	}
	calls.Wait()
	if ctx.Err() == nil {
		j.expire(clock.Now())
	}
}

// fix sets the devices of the job.
func (j *job) fix(ids []string, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rows = make([]row, len(ids))
	for i, id := range ids {
		j.rows[i] = row{id: id, created: now.UnixNano(), updated: now.UnixNano()}
	}
	j.counts = Counts{Total: len(ids), Pending: len(ids)}
	j.started = true
}

// pick marks a device as being worked on.
func (j *job) pick(i int, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rows[i].state, j.rows[i].updated = rowRunning, now.UnixNano()
	j.counts.Pending--
	j.counts.Running++
}

// settle enters what became of a device.
func (j *job) settle(i int, o Outcome, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := &j.rows[i]
	r.outcome, r.updated = o, now.UnixNano()
	j.counts.Running--
	if o.Fault != nil {
		r.state = rowFailed
		j.counts.Failed++
		return
	}
	r.state = rowCompleted
	j.counts.Succeeded++
}

// expire ends the devices that the job did not get to in its time. How the service words them is not known.
func (j *job) expire(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.rows {
		if r := &j.rows[i]; r.state == rowPending {
			r.state, r.updated = rowFailed, now.UnixNano()
			r.outcome.Fault = &Fault{Code: "JobExecutionTimeExceeded", Description: "The job's execution time is over."}
			j.counts.Pending--
			j.counts.Failed++
		}
	}
}
