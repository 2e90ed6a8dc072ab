package schedule

import (
	"slices"
	"time"
)

const (
	maxLook   = 10_000 // occurrences that one step decides about
	maxStarts = 100    // runs that one step starts
)

// Decision is what a step wants done. A caller that stores the state and then does nothing of it loses the starts: store the
// starts with the state.
type Decision struct {
	Start         []Start   // runs to start, in this order
	CancelRunning bool      // cancel the runs that are going on; a newer one waits for their end
	Next          time.Time // when to step again at the latest; zero when only a request, a resumption or the end of a run can help
	Again         bool      // there was more to do than one step does: step again at once
	Ended         bool      // nothing will ever start again by itself
}

// Step decides about every occurrence that has come since the last step, given how many runs of the job are not over. Call it
// when Next has come, when a run ends, and after requests. A clock that goes back repeats nothing.
func (s *Series) Step(st State, now time.Time, running int) (State, Decision) {
	t := &step{series: s, state: st, now: now, running: running, others: running > 0}
	t.state.Buffer = slices.Clone(st.Buffer)
	if s.spec.OverlapPolicy != CancelOther { // there, a newer one may take the place of what waits
		t.release()
	}
	t.again = t.walk()
	if !t.again {
		t.release()
	}
	return t.state, t.decision()
}

// step is one call of Step.
type step struct {
	series  *Series
	state   State
	now     time.Time
	running int
	others  bool // runs were going on before this step
	starts  []Start
	again   bool
}

// release starts what waits, while it may start.
func (t *step) release() {
	for len(t.starts) < maxStarts && (t.running <= 0 || t.series.spec.OverlapPolicy == AllowAll) {
		i := slices.IndexFunc(t.state.Buffer, t.free)
		if i < 0 {
			return
		}
		t.start(t.state.Buffer[i])
		t.state.Buffer = slices.Delete(t.state.Buffer, i, i+1)
	}
}

// free reports whether a pause lets a run start.
func (t *step) free(s Start) bool { return s.Kind != Scheduled || !t.state.Paused }

func (t *step) start(s Start) {
	t.starts = append(t.starts, s)
	t.state.Counters.Started++
	t.running++
}

// walk decides about the occurrences up to now, and reports whether it had to leave some for another step.
func (t *step) walk() (more bool) {
	for range maxLook {
		o, ok := t.next()
		if !ok || o.At.After(t.now) {
			if t.now.After(t.state.Handled) {
				t.state.Handled = t.now
			}
			return false
		}
		if len(t.starts) >= maxStarts {
			return true
		}
		t.state.Handled = o.At
		t.occurrence(o)
	}
	return true
}

// next gives the first occurrence that is not handled, false when no more runs may start.
func (t *step) next() (Occurrence, bool) {
	if t.state.Limited && t.state.Remaining <= 0 {
		return Occurrence{}, false
	}
	return t.series.Next(t.state.Handled)
}

func (t *step) occurrence(o Occurrence) {
	c := &t.state.Counters
	c.Occurrences++
	switch {
	case t.state.inPause(o.At):
		c.Paused++
		return
	case t.series.TooLate(t.series.Latest(o), t.now):
		c.Missed++
		return
	}
	run := Start{Occurrence: o, Kind: Scheduled}
	switch t.series.spec.OverlapPolicy.act(t.running, t.state.waiting(), len(t.state.Buffer)) {
	case ActStart:
		t.state.Remaining--
		t.start(run)
	case ActBuffer:
		t.state.Remaining--
		t.state.Buffer = append(t.state.Buffer, run)
	case ActReplace:
		t.replace(run)
	case ActDrop:
		c.Dropped++
	case ActSkip:
		c.Skipped++
	}
}

// act is Decide within a step. There, CancelOther starts nothing before the newest due occurrence is known, and the buffer
// also holds requests.
func (p OverlapPolicy) act(running, waiting, buffered int) Action {
	switch action := p.Decide(running, waiting); {
	case p == CancelOther:
		return ActReplace
	case action == ActBuffer && buffered >= MaxBuffered:
		return ActDrop
	default:
		return action
	}
}

// replace puts a run in the place of the scheduled one that waits, which gives back its share of the remaining runs.
func (t *step) replace(run Start) {
	before := len(t.state.Buffer)
	t.state.Buffer = slices.DeleteFunc(t.state.Buffer, func(s Start) bool { return s.Kind == Scheduled })
	dropped := before - len(t.state.Buffer)
	t.state.Counters.Dropped += int64(dropped)
	t.state.Remaining += dropped - 1
	t.state.Buffer = append(t.state.Buffer, run)
}

func (t *step) decision() Decision {
	d := Decision{Start: t.starts, Again: t.again}
	if !t.state.Limited {
		t.state.Remaining = 0
	}
	d.CancelRunning = t.series.spec.OverlapPolicy == CancelOther && !t.again && !t.state.Paused &&
		t.others && t.state.waiting() > 0
	if slices.ContainsFunc(t.state.Buffer, t.free) && (t.running <= 0 || t.series.spec.OverlapPolicy == AllowAll) {
		d.Again = true
	}
	o, ok := t.next()
	d.Ended = !ok && len(t.state.Buffer) == 0
	if ok && !t.state.Paused {
		d.Next = o.At
	}
	return d
}
