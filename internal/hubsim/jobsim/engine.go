package jobsim

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/simclock"
)

// Errors of the engine.
var (
	ErrExists   = errors.New("the job exists already")
	ErrNotFound = errors.New("no such job")
	ErrTooMany  = errors.New("too many active jobs")
	ErrNotNow   = errors.New("the job cannot be cancelled in its state")
)

// Fleet is what jobs work on. It must be safe for concurrent use.
type Fleet interface {
	// Select returns the ids of the devices that a condition chooses, each once. Its error says why it cannot.
	Select(condition string) ([]string, error)
	// Pace waits until the hub may work on a further device of any job. last is when it was to work on the one before: who is
	// late catches up. It returns when it was to work on this one, and whether ctx did not end before.
	Pace(ctx context.Context, last time.Time) (due time.Time, ok bool)
}

// Options of an engine.
type Options struct {
	Fleet Fleet
	// Clock is the hub's.
	Clock *simclock.Clock
	// MaxActive is how many jobs may be active at once; 0 is any number.
	MaxActive int
	// Settle is how long a new job is queued, and then scheduled, before it can start; default a second. A guess: a live hub has
	// been seen to take seconds.
	Settle time.Duration
}

const (
	defaultSettle = time.Second
	// retention is how long ended jobs are kept
	// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-quotas-throttling).
	retention = 30 * 24 * time.Hour
	// sweepEvery is how often jobs past it are looked for.
	sweepEvery = time.Hour
)

// Engine runs jobs. It is safe for concurrent use.
type Engine struct {
	options Options
	slots   chan struct{} // taken by active jobs; nil for any number
	run     func(j *job, active bool)
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.RWMutex
	closed bool
	swept  time.Time
	last   int // number of the newest job
	jobs   map[string]*job
	order  []*job // oldest first
}

// New returns an engine without jobs. It ends with ctx or [Engine.Close].
func New(ctx context.Context, o Options) *Engine {
	if o.Settle <= 0 {
		o.Settle = defaultSettle
	}
	e := &Engine{options: o, jobs: map[string]*job{}, swept: o.Clock.Now()}
	if o.MaxActive > 0 {
		e.slots = make(chan struct{}, o.MaxActive)
	}
	ctx, e.stop = context.WithCancel(ctx)
	e.run = func(j *job, active bool) {
		ctx, cancel := context.WithCancel(ctx)
		j.stop = cancel
		e.running.Go(func() {
			defer cancel()
			e.lead(ctx, j, active)
		})
	}
	return e
}

// Close stops all jobs where they are and returns when nothing of them runs any more.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.stop()
	e.running.Wait()
}

// Create takes a job on. A job that starts now is active at once; one of the future becomes active when it is due and another
// has made room (a guess). Errors: ErrExists, ErrTooMany.
func (e *Engine) Create(spec Spec) (View, error) {
	now := e.options.Clock.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sweep(now)
	if _, taken := e.jobs[spec.ID]; taken {
		return View{}, ErrExists
	}
	if spec.Start.Before(now) {
		spec.Start = now
	}
	earliest := now.Add(2 * e.options.Settle)
	j := &job{spec: spec, created: now, settled: now.Add(e.options.Settle), due: spec.Start, number: e.last + 1, stop: func() {}}
	active := !j.due.After(earliest)
	if active {
		j.due = earliest
		if !e.trySlot() {
			return View{}, ErrTooMany
		}
	}
	e.last++
	e.jobs[spec.ID] = j
	e.order = append(e.order, j)
	if !e.closed {
		e.run(j, active)
	}
	return j.view(now), nil
}

// sweep forgets jobs that ended too long ago.
func (e *Engine) sweep(now time.Time) {
	if now.Sub(e.swept) < sweepEvery {
		return
	}
	e.swept = now
	e.order = slices.DeleteFunc(e.order, func(j *job) bool {
		old := j.expired(now)
		if old {
			delete(e.jobs, j.spec.ID)
		}
		return old
	})
}

func (e *Engine) trySlot() bool {
	if e.slots == nil {
		return true
	}
	select {
	case e.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (e *Engine) awaitSlot(ctx context.Context) bool {
	if e.slots == nil {
		return ctx.Err() == nil
	}
	select {
	case e.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (e *Engine) freeSlot() {
	if e.slots != nil {
		<-e.slots
	}
}

// Get returns a job. The error is ErrNotFound.
func (e *Engine) Get(id string) (View, error) {
	j, now, err := e.find(id)
	if err != nil {
		return View{}, err
	}
	return j.view(now), nil
}

func (e *Engine) find(id string) (*job, time.Time, error) {
	now := e.options.Clock.Now()
	e.mu.RLock()
	j, ok := e.jobs[id]
	e.mu.RUnlock()
	if !ok || j.expired(now) {
		return nil, now, ErrNotFound
	}
	return j, now, nil
}

// Cancel ends a job that does not run yet. Errors: ErrNotFound; ErrNotNow, with the job as it is.
func (e *Engine) Cancel(id string) (View, error) {
	j, now, err := e.find(id)
	if err != nil {
		return View{}, err
	}
	if !j.end(waiting, cancelled, now, "") {
		return j.view(now), ErrNotNow
	}
	j.stop()
	return j.view(now), nil
}

// After yields the jobs with numbers above one, oldest first.
func (e *Engine) After(number int) iter.Seq[View] {
	return func(yield func(View) bool) {
		now := e.options.Clock.Now()
		for _, j := range e.from(number + 1) {
			if !j.expired(now) && !yield(j.view(now)) {
				return
			}
		}
	}
}

// from returns the jobs from a number on.
func (e *Engine) from(number int) []*job {
	e.mu.RLock()
	defer e.mu.RUnlock()
	i, _ := slices.BinarySearchFunc(e.order, number, func(j *job, n int) int { return j.number - n })
	return slices.Clone(e.order[i:])
}
