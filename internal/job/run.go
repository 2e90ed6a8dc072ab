package job

import (
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// EndReason says how a run came to its end.
type EndReason string

// The ways a run ends.
const (
	EndFinished     EndReason = "finished"     // every device reached a final state
	EndCancelled    EndReason = "cancelled"    // a person cancelled the job
	EndTimeLimit    EndReason = "timeLimit"    // maxExecutionTimeInSeconds passed
	EndWindowClosed EndReason = "windowClosed" // the maintenance window closed, and its endBehavior is cancel or no other comes
	EndSuperseded   EndReason = "superseded"   // overlapPolicy cancelOther: a newer occurrence took the run's place
	EndAborted      EndReason = "aborted"      // an abort criterion of the job was met; FailureReason says which
	EndUnplannable  EndReason = "unplannable"  // the hub refused the target query
)

// Block is why a run does not go on although nothing is wrong with its devices, and when it asks the hub again.
type Block struct {
	Reason   string    `json:"reason"`
	Code     string    `json:"code,omitempty"`
	Since    time.Time `json:"since"`
	ProbeAt  time.Time `json:"probeAt"`
	Probes   int       `json:"probes"`
	Planning bool      `json:"planning,omitempty"` // selection met the fault; its next stretch is the probe
}

// Run is one occurrence of a job.
type Run struct {
	ID    string
	JobID string

	// Hub is at which hub the run works, "" for the default one. Hubs are the runs at several hubs that make up this one, nil
	// where it is none of these; Order counts how often somebody paused or resumed it, for them to follow.
	Hub   string   `json:",omitempty"`
	Hubs  []HubRun `json:",omitempty"`
	Order int      `json:",omitempty"`

	Status        Status
	EndReason     EndReason
	FailureReason string
	Block         *Block
	Pause         *Pause `json:",omitempty"`
	// Waiting is nil of a run that is not due, or has its turn.
	Waiting *Waiting `json:",omitempty"`

	// Failure is the job's failure policy, nil when it has none. Forgiven are the counts of when somebody last resumed a run
	// with abort criteria.
	Failure  *FailurePolicy `json:",omitempty"`
	Forgiven Counts         `json:",omitzero"`
	// Rollout is nil where devices are begun as fast as the hub allows.
	Rollout *Rolling `json:",omitempty"`

	// Jitter is over how long the run's devices begin, 0 for at once.
	Jitter schedule.Duration `json:",omitempty"`

	// LastStart is when the last zone has reached the local time at which the run's devices begin, zero where they begin together.
	LastStart time.Time `json:",omitzero"`

	// Edits is how often the job was edited, Edited what the last edit of the run made of it, for the job to take over.
	Edits  int     `json:",omitempty"`
	Edited *Edited `json:",omitempty"`

	Priority  int  `json:",omitempty"` // of its job
	Exclusive bool `json:",omitempty"`

	StartAt   time.Time // when it is due
	Deadline  time.Time // no new call starts from here on; zero means none
	StartedAt time.Time
	EndedAt   time.Time
	// OpenUntil is when the maintenance window closes: no new call starts from there on. Zero is none.
	OpenUntil time.Time `json:",omitzero"`

	// Enqueued is how many shards, from number 0 on, were handed to the workers. Planned, Devices and PlanDone are the
	// plan's figures as the last supervision saw them.
	Enqueued int
	Planned  int
	Devices  int
	PlanDone bool
	// List is that of the plan, nil unless the job lets its runs share a list of devices.
	List *DeviceList `json:",omitempty"`
	// Rounds are those of the plan, as the last supervision saw them; nil unless the selection is continuous.
	Rounds *Rounds `json:",omitempty"`

	// Closed counts the executions of the ClosedShards shards that ended and were rolled up; Live those of open shards as
	// the last supervision saw them. The rest of Devices waits in shards that were not enqueued yet.
	Closed       Counts
	ClosedShards int
	Live         Counts
	// Early counts executions that ended in shards which were not enqueued yet.
	Early Counts `json:",omitzero"`

	// FedUntil is until when processes can be taken to open shards for themselves as fast as they, or the hub, can. OfferedAt is
	// when others were last asked to.
	FedUntil  time.Time `json:",omitzero"`
	OfferedAt time.Time `json:",omitzero"`

	// Generation is that of the supervise message which is under way; older copies die.
	Generation   int
	SupervisedAt time.Time
	// Resend asks the supervisor to send the messages of all open shards again, after the run was blocked or paused.
	Resend bool

	// Trail are the last entries of the audit trail about the run, Noted the number of all. The job's row takes them over
	// together with the run's state.
	Trail []Change `json:",omitempty"`
	Noted int      `json:",omitempty"`

	// Rev is the store's revision of the row that was read, which a write is compared with.
	Rev string `json:"-"`
}

// Become changes the run's status if the transition table allows it.
func (r *Run) Become(next Status, now time.Time) error {
	if r.Status == next {
		return nil
	}
	if !r.Status.CanBecome(next) {
		return &TransitionError{From: r.Status, To: next}
	}
	if r.Status == StatusScheduled && next == StatusRunning {
		r.StartedAt = now
	}
	r.Waiting = nil
	if next != StatusBlocked {
		r.Block = nil
	}
	if next != StatusPaused {
		r.Pause = nil
	}
	if next.Ended() {
		r.EndedAt = now
	}
	r.Status = next
	return nil
}

// TransitionError says that a run in From can not go to To.
type TransitionError struct{ From, To Status }

func (e *TransitionError) Error() string {
	return fmt.Sprintf("a run that is %s cannot become %s", e.From, e.To)
}

// Calling reports whether a worker may start new calls at now.
func (r *Run) Calling(now time.Time) bool {
	return r.Status == StatusRunning && (r.Deadline.IsZero() || now.Before(r.Deadline)) && !r.WindowClosed(now)
}

// Since is from when on times of the run count: its start, or the latest one of its zones.
func (r *Run) Since() time.Time { return latest(r.StartedAt, r.LastStart) }

// PastDeadline reports whether the time limit has passed at now.
func (r *Run) PastDeadline(now time.Time) bool {
	return !r.Deadline.IsZero() && !now.Before(r.Deadline)
}

// Unreached is the outcome of devices that a run never reached when it ends as r does.
func (r *Run) Unreached() Outcome {
	switch r.EndReason {
	case EndTimeLimit:
		return Outcome{State: TimedOut, Reason: NotStarted}
	case EndAborted:
		return Outcome{State: Canceled, Reason: JobAborted}
	}
	return Outcome{State: Canceled, Reason: JobCanceled}
}

// NeverEnqueued reports whether the executions of shard n are in the state that Unreached gives, whatever its row says:
// a run that ends early does not rewrite the shards that no worker was ever given.
func (r *Run) NeverEnqueued(shard int) bool {
	return r.Status.Ended() && shard >= r.Enqueued
}

// Counts gives the counts of all executions selected so far.
func (r *Run) Counts() Counts {
	c := r.Closed.Plus(r.Live).Plus(r.Early)
	rest := r.Devices - c.Total()
	if rest <= 0 {
		return c
	}
	if r.Status.Ended() {
		o := r.Unreached()
		return c.Plus(CountsOf(o.State, o.Reason, rest))
	}
	return c.Plus(CountsOf(Queued, NoReason, rest))
}

// HandOut counts a shard that is handed to the workers, some of whose devices had ended before, and gives the shard's counts.
func (r *Run) HandOut(devices int, ended Counts) Counts {
	c := ended.Plus(CountsOf(Queued, NoReason, devices-ended.Total()))
	r.Live, r.Early = r.Live.Plus(c), r.Early.Minus(ended)
	return c
}
