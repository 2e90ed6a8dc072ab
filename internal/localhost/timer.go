package localhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// timerStatus is what the host remembers of a monitored timer.
type timerStatus struct {
	Last        time.Time
	Next        time.Time
	LastUpdated time.Time
}

// statusStore keeps the timers' status, in memory or as files <dir>/timers/<function>.json.
type statusStore struct {
	dir string // empty = memory

	mu     sync.Mutex
	memory map[string]timerStatus
}

// load returns the status of a timer, nil if there is none.
func (s *statusStore) load(name string) (*timerStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		if status, ok := s.memory[name]; ok {
			return &status, nil
		}
		return nil, nil
	}
	document, err := os.ReadFile(s.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading timer status: %w", err)
	}
	var status timerStatus
	if err := json.Unmarshal(document, &status); err != nil {
		return nil, fmt.Errorf("reading timer status %s: %w", s.path(name), err)
	}
	return &status, nil
}

// save replaces the status of a timer.
func (s *statusStore) save(name string, status timerStatus) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		s.memory[name] = status
		return nil
	}
	document, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encoding timer status: %w", err)
	}
	path := s.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("saving timer status: %w", err)
	}
	if err := os.WriteFile(path+".new", document, 0o600); err != nil {
		return fmt.Errorf("saving timer status: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("saving timer status: %w", err)
	}
	return nil
}

func (s *statusStore) path(name string) string {
	return filepath.Join(s.dir, "timers", name+".json")
}

// timerListener runs one timer function by its schedule. There is one in the whole app, as in Azure.
type timerListener struct {
	fn     *function
	store  *statusStore
	log    *slog.Logger
	now    func() time.Time
	invoke func(ctx context.Context, inv *invocation) error

	monitored bool
	status    timerStatus
}

// listen fires the timer until ctx ends. Invocations run under workCtx, which outlives ctx while the host drains.
// Runs never overlap: the next occurrence is computed from the start of the last run, and if that has passed by
// its end, one run follows at once; what else was missed is dropped.
func (l *timerListener) listen(ctx, workCtx context.Context) error {
	pastDue, err := l.start()
	if err != nil {
		return err
	}
	switch {
	case pastDue:
		err = l.fire(ctx, workCtx, firing{pastDue: true})
	case l.fn.trigger.RunOnStartup:
		err = l.fire(ctx, workCtx, firing{onStartup: true})
	}
	for err == nil {
		if !l.sleepUntil(ctx, l.status.Next) {
			return nil
		}
		err = l.fire(ctx, workCtx, firing{})
	}
	return err
}

// start reads the recorded status and reports whether an occurrence was missed while no host ran. A schedule that
// was changed in the meantime starts afresh without firing.
func (l *timerListener) start() (pastDue bool, err error) {
	now := l.now()
	useMonitor := l.fn.trigger.UseMonitor == nil || *l.fn.trigger.UseMonitor
	l.monitored = useMonitor && !oftenerThanMinutely(l.fn.schedule, now)
	l.status = timerStatus{Next: l.fn.schedule.next(now)}
	if !l.monitored {
		return false, nil
	}
	recorded, err := l.store.load(l.fn.name)
	if err != nil {
		return false, err
	}
	if recorded == nil {
		first := l.status
		first.LastUpdated = now // recorded only: the first invocation still sees no update
		return false, l.store.save(l.fn.name, first)
	}
	l.status = *recorded
	base := recorded.Last
	if base.IsZero() {
		base = recorded.LastUpdated
	}
	if base.IsZero() {
		base = now
	}
	if expected := l.fn.schedule.next(base); !expected.Equal(recorded.Next) {
		if now.After(expected) {
			expected, base = l.fn.schedule.next(now), now
		}
		l.status = timerStatus{Next: expected, LastUpdated: base}
		return false, l.store.save(l.fn.name, l.status)
	}
	return now.After(l.status.Next), nil
}

// firing is why a timer runs, if not by schedule.
type firing struct {
	pastDue   bool
	onStartup bool
}

// fire runs the function, with the retries of its policy, and records the outcome. A failed run changes nothing
// about the schedule; the error is one of the status store.
func (l *timerListener) fire(ctx, workCtx context.Context, why firing) error {
	started := l.now()
	if !l.attempts(ctx, workCtx, why) {
		return nil // interrupted: past due at the next start
	}
	base := started
	if why == (firing{}) && l.status.Next.After(started) {
		base = l.status.Next // fired early: never compute the same occurrence twice
	}
	l.status = timerStatus{Last: base, Next: l.fn.schedule.next(base), LastUpdated: base}
	if !l.monitored {
		return nil
	}
	return l.store.save(l.fn.name, l.status)
}

// attempts invokes the function until it succeeds or its retry policy is used up; false means that the host stopped
// between two attempts. Failures have been logged.
func (l *timerListener) attempts(ctx, workCtx context.Context, why firing) bool {
	var failure error
	for attempt := 0; ; attempt++ {
		inv := timerInvocation(l.fn, l.now(), l.visibleStatus(), why.pastDue)
		policy := l.fn.retry
		if policy != nil {
			inv.metadata.set("RetryContext", policy.context(attempt, failure))
		}
		failure = l.invoke(workCtx, inv)
		if failure == nil || policy == nil || (policy.max >= 0 && attempt >= policy.max) {
			return true
		}
		if !l.sleepUntil(ctx, l.now().Add(policy.delay(attempt+1))) {
			return false
		}
	}
}

// visibleStatus is the status as handlers get it.
func (l *timerListener) visibleStatus() *timerStatus {
	if !l.monitored {
		return nil
	}
	status := l.status
	return &status
}

// clockCheck is how often a sleeping timer looks at the clock, which tests may move.
const clockCheck = 200 * time.Millisecond

// sleepUntil waits for the clock to reach a time; false means ctx ended before.
func (l *timerListener) sleepUntil(ctx context.Context, t time.Time) bool {
	if t.IsZero() { // a schedule without further occurrences
		<-ctx.Done()
		return false
	}
	for {
		left := t.Sub(l.now())
		if left <= 0 {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(min(left, clockCheck))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// manualRun is the invocation that POST /admin/functions/<name> makes of a timer: it has the recorded status, is
// never past due, takes no lock and updates nothing.
func (l *timerListener) manualRun() (*invocation, error) {
	now := l.now()
	var status *timerStatus
	useMonitor := l.fn.trigger.UseMonitor == nil || *l.fn.trigger.UseMonitor
	if useMonitor && !oftenerThanMinutely(l.fn.schedule, now) {
		recorded, err := l.store.load(l.fn.name)
		if err != nil {
			return nil, err
		}
		status = recorded
	}
	return timerInvocation(l.fn, now, status, false), nil
}
