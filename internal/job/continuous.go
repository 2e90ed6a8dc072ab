package job

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Selection says how often the devices of a run are chosen.
type Selection string

// The selections.
const (
	SelectSnapshot   Selection = "snapshot"   // once, when the run starts
	SelectContinuous Selection = "continuous" // again and again until the run ends
)

// SelectionPolicy says how often the query of a job is asked. Its members stand in the definition beside the others.
type SelectionPolicy struct {
	// Selection is SelectContinuous or, for a snapshot, "".
	Selection Selection `json:"selection,omitempty"`
	// SelectionInterval is the time from the begin of one round of a continuous selection to that of the next.
	SelectionInterval schedule.Duration `json:"selectionInterval,omitempty"`
	// Endless says of a continuous job that it is meant to have no time limit.
	Endless bool `json:"endless,omitempty"`
	// DeviceListMaxAge is how old a list of devices may be that an earlier run of a recurring job has read, for a run to take it over
	// instead of asking the hub; 0 is none.
	DeviceListMaxAge schedule.Duration `json:"deviceListMaxAge,omitempty"`
}

// selectionMembers are the names of SelectionPolicy's members.
func selectionMembers() []string {
	return []string{"selection", "selectionInterval", "endless", "deviceListMaxAge"}
}

// selection reads the members that SelectionPolicy names. It comes after the members that it is held against.
func (o *object) selection(def *Definition) SelectionPolicy {
	var p SelectionPolicy
	switch text := Selection(o.text("selection")); {
	case text == SelectContinuous:
		p.Selection = SelectContinuous
	case o.has("selection") && text != SelectSnapshot:
		o.fault("selection", o.members["selection"], `must be "snapshot" or "continuous"`)
		return p
	}
	p.DeviceListMaxAge = o.listAge(def, p.Selection)
	p.Endless = o.boolean("endless")
	if p.Selection != SelectContinuous {
		for _, name := range []string{"selectionInterval", "endless"} {
			o.absent(name, `goes with selection "continuous" only`)
		}
		return p
	}
	p.SelectionInterval = o.interval()
	o.continuous(def, p.Endless)
	return p
}

func (o *object) interval() schedule.Duration {
	const name = "selectionInterval"
	if !o.has(name) {
		return schedule.Duration(DefaultSelectionInterval)
	}
	d, err := schedule.ParseDuration(o.text(name))
	if err != nil || time.Duration(d) < MinSelectionInterval || time.Duration(d) > MaxSelectionInterval {
		o.fault(name, o.members[name], fmt.Sprintf("must be an ISO 8601 duration from %s to %s",
			schedule.Duration(MinSelectionInterval), schedule.Duration(MaxSelectionInterval)))
	}
	return d
}

// continuous refuses what a selection that never is complete cannot have.
func (o *object) continuous(def *Definition, endless bool) {
	if o.has("deviceIds") {
		o.fault("selection", o.members["selection"], "must not be continuous beside deviceIds: a list never changes")
	}
	if def.Divided() {
		o.fault("selection", o.members["selection"], "must not be continuous where the target is selected in parts, as rollout.orderBy has it")
	}
	switch limited := o.has("maxExecutionTimeInSeconds"); {
	case limited && endless:
		o.fault("endless", o.members["endless"], "must not stand beside maxExecutionTimeInSeconds: give one of both")
	case !limited && !endless:
		o.fault("maxExecutionTimeInSeconds", nil, `is required with selection "continuous"; or give "endless": true`)
	case endless && o.has("schedule"):
		o.fault("endless", o.members["endless"], "must not stand beside schedule: a run that never ends leaves no room for the next")
	}
	if def.Rollout != nil {
		for i, b := range def.Rollout.Batches {
			if b.Percentage > 0 {
				value, _ := json.Marshal(b.Percentage) // a number
				o.fault(fmt.Sprintf("rollout.batches[%d].percentage", i), value, `needs a target that is complete, which selection "continuous" never is; give number`)
			}
		}
	}
	if def.Schedule != nil && def.Schedule.Jitter > 0 {
		o.fault("schedule.jitter", nil, `spreads the devices of the start alone; it does not go with selection "continuous", give rollout`)
	}
	const late = `counts from the start of the run, which devices that match later have missed; it does not go with selection "continuous"`
	if t := def.Timeout; t != nil && t.NotStarted > 0 {
		o.fault("timeout.notStarted", nil, late)
	}
	if def.Retry == nil {
		return
	}
	for i, c := range def.Retry.Criteria {
		if c.Until > 0 {
			o.fault(fmt.Sprintf("retry.criteria[%d].until", i), nil, late+"; give numberOfRetries")
		}
	}
}

// Rounds is how far a continuous selection has come. Each round reads the job's query from its first page to its last.
type Rounds struct {
	Ended   int       // rounds that came to their end
	Current Round     // the round under way, or else the next, of which nothing is known
	Last    Round     // the last that ended, zero before that
	NextAt  time.Time `json:",omitzero"` // when the next round may begin, zero while one is under way
	Pages   int       // that the round under way has read

	// Before is how many shards there were when the round under way began, 0 where none of their devices waits: those that wait and
	// are not listed in the round have left the target. Notes is how many rows hold what it has listed so far.
	Before int `json:",omitempty"`
	Notes  int `json:",omitempty"`
	// Sweeps says that the round under way has read the query, and looks for devices that have left; Swept is how many of
	// the shards it has looked at.
	Sweeps bool `json:",omitempty"`
	Swept  int  `json:",omitempty"`
}

// Round is what one round has found so far. Pages that are read again after a crash count again.
type Round struct {
	BeganAt time.Time `json:",omitzero"`
	EndedAt time.Time `json:",omitzero"`
	Matched int       // devices that the query listed
	Added   int       // those of them that the run did not have, or that had left
	Removed int       // devices that waited and were not listed
}

// Waits reports whether no round is under way.
func (r *Rounds) Waits() bool { return r != nil && !r.NextAt.IsZero() }

// Begin begins a round at now, if none is under way. Devices of the first shards of the run may leave the target.
func (r *Rounds) Begin(now time.Time, shards int) {
	if r.Current.BeganAt.IsZero() {
		*r = Rounds{Ended: r.Ended, Last: r.Last, Current: Round{BeganAt: now}, Before: shards}
	}
}

// Watches reports whether the round under way notes what it lists, to find devices that have left.
func (r *Rounds) Watches() bool { return r != nil && r.Before > 0 }

// Read reports whether no page of the target is left to read: for good, or in this round.
func (p *Plan) Read() bool { return p.Complete() || p.Rounds != nil && p.Rounds.Sweeps }

// roundsShare is the part of the hub's allowance of queries that the rounds of one job take at most, in the long run.
const roundsShare = 4

// End ends the round under way at now. The next one begins an interval after this one began, and not before the pages of this
// one, of which the hub allows so many a second (0 is no limit), are a quarter of what it has allowed since then.
func (r *Rounds) End(now time.Time, interval time.Duration, perSecond float64) {
	r.Ended++
	r.Current.EndedAt = now
	*r = Rounds{Ended: r.Ended, Last: r.Current, Pages: r.Pages}
	r.NextAt = r.Last.BeganAt.Add(interval)
	if perSecond > 0 {
		apart := time.Duration(float64(r.Pages*roundsShare) / perSecond * float64(time.Second))
		r.NextAt = latest(r.NextAt, r.Last.BeganAt.Add(apart))
	}
	r.NextAt = latest(r.NextAt, now.Add(time.Millisecond)) // a round that takes longer than that is followed at once
}

// Complete reports whether the target has been read to its end: for good, or until the next round.
func (p *Plan) Complete() bool { return p.Done || p.Rounds.Waits() }

// newRounds gives nil unless the selection is continuous.
func (p SelectionPolicy) newRounds() *Rounds {
	if p.Selection != SelectContinuous {
		return nil
	}
	return &Rounds{}
}

// restsTillNext reports whether a running run has nothing to do but to begin its next round later than now.
func (r *Run) restsTillNext(now time.Time) bool {
	return r.Rounds.Waits() && now.Before(r.Rounds.NextAt) && !r.Resend && r.Enqueued == r.Planned && r.ClosedShards == r.Enqueued &&
		!r.PastDeadline(now) && !r.WindowClosed(now)
}

// Leave ends the executions of s that wait for their first call, or for a retry of it, and that the target lists no more. It gives
// how many there were.
func (s *Shard) Leave(listed func(deviceID string) bool, now time.Time) int {
	n := 0
	for i := range s.Executions {
		e := &s.Executions[i]
		if e.State == Queued && e.Progress == nil && !listed(e.DeviceID) {
			e.End(Outcome{State: Removed, Reason: LeftTarget}, now)
			n++
		}
	}
	return n
}
