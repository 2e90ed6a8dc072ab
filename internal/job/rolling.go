package job

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// BatchState says how far a batch of a rollout has come.
type BatchState string

// The states of a batch.
const (
	BatchPending   BatchState = "pending"   // its turn has not come
	BatchWaiting   BatchState = "waiting"   // it is next, and waits for what waitsFor names
	BatchRunning   BatchState = "running"   // its devices are begun and called
	BatchCompleted BatchState = "completed" // all its devices have ended
)

// BatchStates lists the states of a batch, in their order.
func BatchStates() []BatchState {
	return []BatchState{BatchPending, BatchWaiting, BatchRunning, BatchCompleted}
}

var batchTransitions = map[BatchState][]BatchState{
	BatchPending: {BatchWaiting, BatchRunning},
	BatchWaiting: {BatchRunning},
	BatchRunning: {BatchCompleted},
}

// CanBecome reports whether a batch in s may go to next.
func (s BatchState) CanBecome(next BatchState) bool {
	return slices.Contains(batchTransitions[s], next)
}

// Wait is something that a batch's begin waits for.
type Wait string

// What a batch waits for.
const (
	WaitSelection   Wait = "selection"        // its devices, or all that it is a percentage of, are not selected yet
	WaitPrevious    Wait = "previousBatch"    // the batch before has not ended
	WaitThreshold   Wait = "successThreshold" // too few devices of the batch before have succeeded so far
	WaitObservation Wait = "observationTime"  // the observation time has not passed
	WaitStartTime   Wait = "startTime"        // its start time has not come
	WaitApproval    Wait = "approval"         // nobody has approved it
)

// Waits lists what a batch may wait for.
func Waits() []Wait {
	return []Wait{WaitSelection, WaitPrevious, WaitThreshold, WaitObservation, WaitStartTime, WaitApproval}
}

// Batch is how far one batch has come.
type Batch struct {
	State      BatchState
	FirstShard int
	Size       int  // devices that it is to have; 0 while that is not known, and for the last
	Empty      bool `json:",omitempty"` // it was chosen, and has no devices
	Begun      int  // devices of its shards that were handed to the workers
	// Ended and Succeeded count rolled-up shards, LiveEnded and LiveSucceeded those under way as of the last supervision.
	Ended, Succeeded         int
	LiveEnded, LiveSucceeded int
	Removed, LiveRemoved     int       // of those that ended: they left the target, and no gate counts them
	Outcomes                 *Outcomes `json:",omitempty"` // nil without an abort criterion over batches
	WaitsFor                 []Wait    `json:",omitempty"`
	BeganAt, EndedAt         time.Time
	MetAt                    time.Time // since when the batch's results satisfy the next one's gate
	Approval                 *Approval `json:",omitempty"`
	Forced                   bool      `json:",omitempty"` // somebody wants it to begin now
}

// Approval is who let a batch begin, and what they said.
type Approval struct {
	By     Principal
	At     time.Time
	Remark string `json:",omitempty"`
}

// Rolling is how far the rollout of a run has come.
type Rolling struct {
	Policy  Rollout
	Begun   int       // devices of the shards that were handed to the workers
	Next    time.Time // when the rate lets the next device begin
	Batches []Batch   `json:",omitempty"` // those of Policy
}

// NewRolling begins a rollout, nil for none.
func NewRolling(p *Rollout) *Rolling {
	if p == nil {
		return nil
	}
	r := &Rolling{Policy: *p.Clone(), Batches: make([]Batch, len(p.Batches))}
	for i := range r.Batches {
		r.Batches[i].State = BatchPending
	}
	return r
}

// ShardSize is that of the policy; without a rollout all shards have the same.
func (r *Rolling) ShardSize(before, chosen int) int {
	if r == nil {
		return ShardSize
	}
	return r.Policy.ShardSize(before, chosen)
}

// Chosen is how many of the first batches are chosen ones.
func (r *Rolling) Chosen() int {
	if r == nil {
		return 0
	}
	return r.Policy.Chosen()
}

// Sight is what a supervision sees of a run.
type Sight struct {
	Selected  int // devices selected so far
	Complete  bool
	Chosen    []int // devices of the chosen batches whose selection has ended
	InFlight  int   // devices that were handed out and have not ended
	Succeeded int
}

// batchOf gives the batch that a shard belongs to, nil when there are none.
func (r *Rolling) batchOf(shard int) *Batch {
	if r == nil {
		return nil
	}
	for i := len(r.Batches) - 1; i >= 0; i-- {
		if b := &r.Batches[i]; b.begun() && b.FirstShard <= shard {
			return b
		}
	}
	return nil
}

func (b *Batch) begun() bool { return b.State == BatchRunning || b.State == BatchCompleted }

// RolledUp counts the executions of a shard that ended.
func (r *Rolling) RolledUp(shard int, c Counts) {
	if b := r.batchOf(shard); b != nil {
		b.Ended += c.Ended()
		b.Succeeded += c.Of(Succeeded)
		b.Removed += c.Of(Removed)
		if b.Outcomes != nil {
			b.Outcomes.Closed = b.Outcomes.Closed.Plus(c)
		}
	}
}

// Live begins the count of the executions under way anew; Under adds those of a shard.
func (r *Rolling) Live() {
	if r == nil {
		return
	}
	for i := range r.Batches {
		b := &r.Batches[i]
		b.LiveEnded, b.LiveSucceeded, b.LiveRemoved = 0, 0, 0
		if b.Outcomes != nil {
			b.Outcomes.Live = Counts{}
		}
	}
}

// Under counts the executions of a shard under way.
func (r *Rolling) Under(shard int, c Counts) {
	if b := r.batchOf(shard); b != nil {
		b.LiveEnded += c.Ended()
		b.LiveSucceeded += c.Of(Succeeded)
		b.LiveRemoved += c.Of(Removed)
		if b.Outcomes != nil {
			b.Outcomes.Live = b.Outcomes.Live.Plus(c)
		}
	}
}

// Current is the number of the batch that was begun last, from 0 on; -1 before the first and without batches.
func (r *Rolling) Current() int {
	for i := len(r.Batches) - 1; i >= 0; i-- {
		if r.Batches[i].begun() {
			return i
		}
	}
	return -1
}

// full reports whether batch i has all its devices.
func (r *Rolling) full(i int, s Sight) bool {
	b := &r.Batches[i]
	return s.Complete && r.Begun >= s.Selected || b.Empty || b.Size > 0 && b.Begun >= b.Size
}

// Step moves the batches on at now. shard is the number of the next shard that will be opened. missed, if not "", says why the
// next batch's gate can not open any more by itself.
func (r *Rolling) Step(now time.Time, shard int, s Sight) (missed string) {
	for i := range r.Batches {
		b := &r.Batches[i]
		if b.State == BatchRunning && r.full(i, s) && b.Ended+b.LiveEnded >= b.Begun {
			b.State, b.EndedAt = BatchCompleted, now
		}
	}
	current := r.Current()
	next := current + 1
	if next >= len(r.Batches) || current >= 0 && s.Complete && r.Begun >= s.Selected {
		return ""
	}
	b := &r.Batches[next]
	if b.WaitsFor, missed = r.waits(now, next, s); len(b.WaitsFor) > 0 {
		b.State = BatchWaiting
		return missed
	}
	b.State, b.BeganAt, b.FirstShard, b.Size = BatchRunning, now, shard, r.size(next, s)
	b.Empty = b.Size == 0 && r.Policy.Batches[next].Chosen()
	return ""
}

// size gives the number of devices of a batch, 0 for the rest.
func (r *Rolling) size(i int, s Sight) int {
	p := &r.Policy.Batches[i]
	switch {
	case p.Chosen():
		return s.Chosen[i]
	case p.Percentage > 0:
		return max(1, int(math.Ceil(float64(s.Selected)*p.Percentage/100-1e-9)))
	}
	return p.Number
}

// waits gives what batch i waits for at now.
func (r *Rolling) waits(now time.Time, i int, s Sight) (waits []Wait, missed string) {
	b, p := &r.Batches[i], r.Policy.Batches[i]
	gate := p.Gate
	if gate == nil {
		gate = &Gate{}
	}
	if p.Percentage > 0 && !s.Complete || p.Chosen() && len(s.Chosen) <= i {
		waits = append(waits, WaitSelection)
	}
	if i > 0 {
		var w []Wait
		w, missed = r.after(now, i-1, gate, s)
		if b.Forced {
			w, missed = nil, ""
			if !r.full(i-1, s) {
				w = []Wait{WaitPrevious}
			}
		}
		waits = append(waits, w...)
	}
	if now.Before(gate.StartTime) && !b.Forced {
		waits = append(waits, WaitStartTime)
	}
	if gate.Approval && b.Approval == nil {
		waits = append(waits, WaitApproval)
	}
	return waits, missed
}

// after gives what the gate behind batch i waits for in the batch's results.
func (r *Rolling) after(now time.Time, i int, gate *Gate, s Sight) (waits []Wait, missed string) {
	b := &r.Batches[i]
	ended, succeeded := b.Ended+b.LiveEnded >= b.Begun, b.Succeeded+b.LiveSucceeded
	threshold := gate.SuccessThresholdPercentage
	begun := b.Begun - b.Removed - b.LiveRemoved
	enough := float64(succeeded)*100 >= threshold*float64(begun)-1e-6
	switch {
	case b.Empty && threshold > 0 && !s.Complete:
		return []Wait{WaitSelection}, ""
	case b.Empty && threshold > 0:
		return []Wait{WaitThreshold}, fmt.Sprintf("batch %d has no devices, and batch %d needs that %v %% of them succeed", i+1, i+2, threshold)
	case !r.full(i, s) || threshold == 0 && !ended:
		return []Wait{WaitPrevious}, ""
	case !enough && ended:
		return []Wait{WaitThreshold}, fmt.Sprintf("%d of the %d devices of batch %d succeeded, and batch %d needs %v %%",
			succeeded, begun, i+1, i+2, threshold)
	case !enough:
		return []Wait{WaitThreshold}, ""
	}
	if b.MetAt.IsZero() {
		b.MetAt = now
	}
	if now.Before(b.MetAt.Add(time.Duration(gate.MinimumObservationTime))) {
		return []Wait{WaitObservation}, ""
	}
	return nil, ""
}

// beginAhead is how long before its time a device may be handed to the workers.
const beginAhead = 2 * time.Second

// Fits gives how many of the next shards, of the given sizes, may be handed out at now.
func (r *Rolling) Fits(now time.Time, sizes []int, s Sight) int {
	rate, next := r.Policy.Rate(r.Begun, s.Succeeded), r.Next
	room := math.MaxInt
	if i := r.Current(); len(r.Batches) > 0 {
		switch {
		case i < 0:
			return 0
		case r.Batches[i].Empty:
			return 0
		case r.Batches[i].Size > 0:
			room = r.Batches[i].Size - r.Batches[i].Begun
		}
	}
	inFlight := s.InFlight
	for n, size := range sizes {
		most := r.Policy.MaxConcurrency
		if room <= 0 || most > 0 && inFlight > 0 && inFlight+size > most {
			return n
		}
		if rate > 0 {
			if next.After(now.Add(beginAhead)) {
				return n
			}
			next = latest(next, now).Add(spacing(size, rate))
		}
		room -= size
		inFlight += size
	}
	return len(sizes)
}

// Turn gives when so many devices, whose hub lets them begin at ready, are to begin at now or later: evenly over a time, 0 for at
// once.
func (r *Rolling) Turn(now, ready time.Time, size int, s Sight) (at time.Time, over time.Duration) {
	at = latest(now, ready)
	if rate := r.Policy.Rate(r.Begun, s.Succeeded); rate > 0 {
		at, over = latest(at, r.Next), spacing(size, rate)
		r.Next = at.Add(over)
	}
	return at, over
}

// Begin is Turn for a shard that is handed out for the first time, and counts its devices.
func (r *Rolling) Begin(now, ready time.Time, size int, s Sight) (at time.Time, over time.Duration) {
	at, over = r.Turn(now, ready, size, s)
	r.Count(size)
	return at, over
}

// Count counts devices as begun; those that wait for others get their turn later.
func (r *Rolling) Count(size int) {
	r.Begun += size
	if i := r.Current(); i >= 0 {
		r.Batches[i].Begun += size
	}
}

// Resumes reports whether so many devices that were counted before may go on at now.
func (r *Rolling) Resumes(now time.Time, size int, s Sight) bool {
	most := r.Policy.MaxConcurrency
	if most > 0 && s.InFlight > 0 && s.InFlight+size > most {
		return false
	}
	return r.Policy.Rate(r.Begun, s.Succeeded) == 0 || !r.Next.After(now.Add(beginAhead))
}

func spacing(devices int, perMinute float64) time.Duration {
	return time.Duration(float64(devices) / perMinute * float64(time.Minute))
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Opens gives when the times that batch i waits for have passed, zero when it waits for none.
func (p *Rollout) Opens(i int, batches []Batch) time.Time {
	g := p.Batches[i].Gate
	if g == nil {
		return time.Time{}
	}
	at := g.StartTime
	if i > 0 && !batches[i-1].MetAt.IsZero() {
		at = latest(at, batches[i-1].MetAt.Add(time.Duration(g.MinimumObservationTime)))
	}
	return at
}
