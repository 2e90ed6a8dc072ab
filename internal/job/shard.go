package job

import "time"

// Shard is up to ShardSize executions of a run, stored and claimed together.
type Shard struct {
	RunID  string
	Number int
	Part   int // of the run's target that its devices belong to, 0 of a target without parts
	AtOnce int // devices that may be called at once, 0 for any number
	// Executions are in the order in which the hub listed the devices.
	Executions []Execution
	// Closed shards hold only final executions and are never claimed again.
	Closed bool
	Claim  Claim

	// Rev is the store's revision of the row that was read.
	Rev string
}

// Claim is a lease on a shard: while it lives, one worker alone calls the shard's devices.
type Claim struct {
	Owner string    // the invocation that holds it; "" is nobody
	Until time.Time // when it ends unless it is renewed
	// Lost counts the claims in a row that ended without being released: their workers died or lost the storage.
	Lost int
}

// Live reports whether somebody holds the claim at now.
func (c Claim) Live(now time.Time) bool { return c.Owner != "" && now.Before(c.Until) }

// Take gives the claim to owner at now for d. The caller has checked that it is not live.
func (c Claim) Take(owner string, now time.Time, d time.Duration) Claim {
	lost := c.Lost
	if c.Owner != "" {
		lost++
	}
	return Claim{Owner: owner, Until: now.Add(d), Lost: lost}
}

// Release gives the claim back.
func (c Claim) Release() Claim { return Claim{} }

// Done reports whether every execution is in a final state.
func (s *Shard) Done() bool { return s.Left() == 0 }

// Left is how many executions are not in a final state.
func (s *Shard) Left() int {
	n := 0
	for i := range s.Executions {
		if !s.Executions[i].State.Final() {
			n++
		}
	}
	return n
}

// Ended counts the executions in a final state.
func (s *Shard) Ended() Counts {
	c := Count(s.Executions)
	return c.Minus(CountsOf(Queued, NoReason, c.Of(Queued))).Minus(CountsOf(InProgress, NoReason, c.Of(InProgress)))
}

// EndRest ends every execution that is not final with o, at now; one that waits for a retry as its last attempt did, and one between
// its steps as unfinished.
func (s *Shard) EndRest(o Outcome, now time.Time) {
	for i := range s.Executions {
		if e := &s.Executions[i]; e.Waiting() && e.Attempts > 0 && e.Reason != NoReason && e.Reason != DeviceHeld {
			e.End(e.last(), now)
		} else {
			e.End(e.unfinished(o), now)
		}
	}
}

// Interrupted makes executions that a dead worker left in progress wait for their next attempt.
func (s *Shard) Interrupted() {
	for i := range s.Executions {
		if e := &s.Executions[i]; e.State == InProgress && !e.Awaiting() {
			e.Reach()
			e.Requeue()
		}
	}
}

// Adopt takes over final outcomes, and steps, from another copy of the same shard where s has none, and reports whether there were any.
func (s *Shard) Adopt(others []Execution) bool {
	adopted := false
	for i := range s.Executions {
		e := &s.Executions[i]
		if i < len(others) && others[i].DeviceID == e.DeviceID && others[i].State.Final() && !e.State.Final() {
			*e, adopted = others[i], true
		} else if i < len(others) && others[i].DeviceID == e.DeviceID && e.behind(&others[i]) {
			*e, adopted = others[i], true
		}
	}
	return adopted
}
