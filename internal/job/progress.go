package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// Progress is how far an execution of a job with steps, or with a confirmation, has come. It is never changed: executions that are
// copied share it.
type Progress struct {
	Step   int // the one that it is at, or ended in, from 0
	Before int // attempts of the steps before
	// Until is when a wait ends, zero unless the execution waits for its device.
	Until time.Time
	// Results are those of the steps that succeeded, in order.
	Results []StepResult
}

// StepResult is what came of a step that succeeded.
type StepResult struct {
	StatusCode int    // that the device answered with, 0 without an answer
	Answer     []byte // JSON, cut at StepAnswerLimit
	Truncated  bool
	EndedAt    time.Time
}

// Payload gives the device's answer as JSON, or nil when there is none or it was cut.
func (r *StepResult) Payload() json.RawMessage {
	if r.Truncated || len(r.Answer) == 0 || !json.Valid(r.Answer) {
		return nil
	}
	return r.Answer
}

// At is the number of the step that e is at, from 0.
func (e *Execution) At() int {
	if e.Progress == nil {
		return 0
	}
	return e.Progress.Step
}

// Tries is how many attempts e has made of the step that it is at.
func (e *Execution) Tries() int {
	if e.Progress == nil {
		return e.Attempts
	}
	return e.Attempts - e.Progress.Before
}

// Awaiting reports whether e is in progress without a call: it waits until its device reports something. NextAttemptAt is then when
// somebody looks again, and Reason what it waits for.
func (e *Execution) Awaiting() bool {
	return e.State == InProgress && e.Progress != nil && !e.Progress.Until.IsZero()
}

// await begins a wait of an execution in progress.
func (e *Execution) await(reason Reason, until, lookAt time.Time) {
	p := e.progress()
	p.Until = until.Truncate(time.Millisecond)
	e.Progress, e.Reason, e.NextAttemptAt = &p, reason, lookAt.Truncate(time.Millisecond)
}

// rest ends a wait.
func (e *Execution) rest() {
	if e.Progress != nil && !e.Progress.Until.IsZero() {
		p := *e.Progress
		p.Until = time.Time{}
		e.Progress, e.NextAttemptAt, e.Reason = &p, time.Time{}, NoReason
	}
}

// progress gives a copy to change.
func (e *Execution) progress() Progress {
	if e.Progress == nil {
		return Progress{}
	}
	return *e.Progress
}

// pass has an execution in progress go on with the next step.
func (e *Execution) pass(o Outcome, now time.Time) {
	if !e.State.CanBecome(Queued) {
		return
	}
	e.rest()
	p := e.progress()
	r := StepResult{StatusCode: o.StatusCode, EndedAt: now.Truncate(time.Millisecond)}
	r.Answer, r.Truncated = cutAt(o.Answer, StepAnswerLimit)
	p.Results, p.Before = append(slices.Clip(slices.Clone(p.Results)), r), e.Attempts
	p.Step++
	e.Progress, e.State, e.Reason, e.StatusCode, e.Answer, e.Truncated = &p, Queued, NoReason, 0, nil, false
}

// Sequence is what a run does to each device in order, where that is more than one call.
type Sequence struct {
	steps []Step
	wants []map[string]any // of steps with a confirmation, what the device is to report
	delay time.Duration    // before the first look at a wait
	// bodies makes wants of a device's own values, nil of a job without placeholders.
	bodies *Bodies
}

// Sequence gives the steps of the job, nil of a job that is done with one call. Devices that wait are first looked after when delay has
// passed, and a last time when it has passed since the end of their time: IoT Hub's queries come to know of a report seconds later.
func (d *Definition) Sequence(delay time.Duration) (*Sequence, error) {
	s := &Sequence{steps: d.inSteps(), delay: delay}
	if s.steps == nil {
		return nil, nil
	}
	s.wants = make([]map[string]any, len(s.steps))
	for i := range s.steps {
		s.wants[i] = s.steps[i].wants()
	}
	var err error
	s.bodies, err = d.NewBodies()
	return s, err
}

// inSteps gives the steps of a job, also of one that only confirms; nil of others.
func (d *Definition) inSteps() []Step {
	if d.Confirm != nil {
		return []Step{{UpdateTwin: d.UpdateTwin, Confirm: d.Confirm}}
	}
	return d.Steps
}

// wanted gives what an execution's device is to report in the step that it is at.
func (s *Sequence) wanted(e *Execution) map[string]any {
	if s.bodies != nil {
		if def, refusal := s.bodies.For(e); !refusal.State.Final() {
			return def.inSteps()[e.At()].wants()
		}
	}
	return s.wants[e.At()]
}

// Steps gives the steps, which are not to be changed.
func (s *Sequence) Steps() []Step { return s.steps }

// Stage is a part of a step that is done to many devices in one way: its call, or its wait.
type Stage struct {
	Step int
	Wait bool
}

// Of gives the stage that e is at. An execution that has ended is at the one that it ended in.
func (s *Sequence) Of(e *Execution) Stage {
	at := min(e.At(), len(s.steps)-1)
	return Stage{at, e.Awaiting() || s.steps[at].WaitFor != nil}
}

// Next gives the stage to go on with at now: calls before waits, and early steps before late ones. all counts executions in
// whose turn has not come too.
func (s *Sequence) Next(shard *Shard, now time.Time, all bool) Stage {
	next, found := Stage{}, false
	for i := range shard.Executions {
		e := &shard.Executions[i]
		if e.State.Final() || !all && !e.Due(now) {
			continue
		}
		if at := s.Of(e); !found || at.before(next) {
			next, found = at, true
		}
	}
	if !found && !all {
		return s.Next(shard, now, true)
	}
	return next
}

func (s Stage) before(t Stage) bool {
	if s.Wait != t.Wait {
		return !s.Wait
	}
	return s.Step < t.Step
}

// Names are the names at the top of properties.reported that have to be read for the wait of a step.
func (s *Sequence) Names(step int) []string {
	if w := s.steps[step].WaitFor; w != nil {
		return []string{w.top()}
	}
	return names(s.wants[step])
}

// Settle ends the call, or the wait, that e is at with o: e goes on with what follows, or ends.
func (s *Sequence) Settle(e *Execution, o Outcome, now time.Time) {
	at := e.At()
	switch step := &s.steps[at]; {
	case e.State.Final():
	case o.State != Succeeded:
		e.End(o, now)
	case step.Confirm != nil && !e.Awaiting():
		e.await(AwaitingConfirmation, now.Add(step.within()), now.Add(s.delay))
	case at == len(s.steps)-1:
		e.End(o, now)
	default:
		e.pass(o, now)
		if s.steps[at+1].WaitFor != nil {
			s.Await(e, now)
			e.NextAttemptAt = now.Add(s.delay).Truncate(time.Millisecond)
		}
	}
}

// Await begins the wait of a queued execution that is at a step which is nothing else, to be looked after at once.
func (s *Sequence) Await(e *Execution, now time.Time) {
	if step := &s.steps[e.At()]; step.WaitFor != nil && e.State.CanBecome(InProgress) {
		e.Begin(now)
		e.await(AwaitingProperty, now.Add(step.within()), now)
	}
}

// maxLook is the longest time between two looks.
const maxLook = 10 * time.Minute

// LookAgain gives when to look after executions again that wait: half as long as the youngest of the waits has lasted.
func (s *Sequence) LookAgain(waiting []*Execution, now time.Time) time.Time {
	youngest := maxLook * 2
	for _, e := range waiting {
		youngest = min(youngest, now.Sub(s.since(e)))
	}
	return now.Add(min(max(s.delay, youngest/2), maxLook))
}

func (s *Sequence) since(e *Execution) time.Time {
	return e.Progress.Until.Add(-s.steps[e.At()].within())
}

// last is when an execution that waits is looked after for the last time.
func (s *Sequence) last(e *Execution) time.Time { return e.Progress.Until.Add(s.delay) }

// Look compares what the device of an execution that waits reports, the values of Names, with what it is waited for. It gives the
// outcome of the wait, or that it goes on; the next look is at again then, or earlier where the time ends.
func (s *Sequence) Look(e *Execution, reported map[string]any, now, again time.Time) (Outcome, bool) {
	step := &s.steps[e.At()]
	var f finding
	if step.WaitFor != nil {
		f = step.WaitFor.find(reported)
	} else {
		f = applied("", s.wanted(e), reported)
	}
	switch {
	case f.look == lookReached:
		return Outcome{State: Succeeded}, true
	case f.look == lookRefused:
		return refusal(f), true
	case now.Add(retrySlack).Before(s.last(e)):
		if last := s.last(e); last.Before(again) {
			again = last
		}
		e.NextAttemptAt = again.Truncate(time.Millisecond)
		return Outcome{}, false
	}
	return e.unmet(fmt.Sprintf("not within %s: %s", step.limit(), f.text)), true
}

func (s *Step) limit() fmt.Stringer {
	if s.WaitFor != nil {
		return s.WaitFor.Within
	}
	return s.Confirm.Within
}

// refusal is the outcome of a device that acknowledged a desired property with an error: 4xx is its last word.
func refusal(f finding) Outcome {
	answer, _ := json.Marshal(f.ack) // it was JSON before
	if f.code < 500 {
		return Outcome{State: Rejected, Reason: DeviceRejected, StatusCode: f.code, Answer: answer}
	}
	return Outcome{State: Failed, Reason: DeviceError, StatusCode: f.code, Answer: answer}
}

// unmet is the outcome of a wait for which the time has passed.
func (e *Execution) unmet(text string) Outcome {
	o := Outcome{State: TimedOut, Reason: NotConfirmed, Answer: []byte(text)}
	if e.Reason == AwaitingProperty {
		o.Reason = WaitTimedOut
	}
	return o
}

// unfinished is how an execution ends that was on its way through its steps when its run ended with o.
func (e *Execution) unfinished(o Outcome) Outcome {
	switch {
	case o.Reason != NotStarted:
	case e.Awaiting():
		return e.unmet("the job's time limit passed before")
	case e.At() > 0:
		o.Reason = StepsUnfinished
	}
	return o
}

// behind reports whether other, of the same device, has come further than e.
func (e *Execution) behind(other *Execution) bool {
	if e.State.Final() || other.State.Final() || other.Progress == nil {
		return false
	}
	return other.At() > e.At() || other.At() == e.At() && other.Awaiting() && !e.Awaiting()
}

// cutAt keeps at most most bytes and splits no UTF-8 character. What it keeps does not hold on to the whole of b.
func cutAt(b []byte, most int) ([]byte, bool) {
	if len(b) <= most {
		return b, false
	}
	n := most
	for least := n - utf8.UTFMax; n > least && !utf8.RuneStart(b[n]); n-- {
		continue
	}
	return bytes.Clone(b[:n]), true
}
