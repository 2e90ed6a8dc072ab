package job

// Counts holds the number of executions in each state, and of those that ended without success, the number for each
// reason; of those that wait for their devices, the number for each thing that they wait for. The zero value is empty.
type Counts struct {
	ByState  [executionStates]int
	ByReason [reasons]int
}

// Count counts executions.
func Count(executions []Execution) Counts {
	var c Counts
	for i := range executions {
		c.ByState[executions[i].State]++
		if r := executions[i].Reason; r != NoReason && (executions[i].State.Final() || executions[i].Awaiting()) {
			c.ByReason[r]++
		}
	}
	return c
}

// CountsOf gives n executions in one state with one reason.
func CountsOf(state ExecutionState, reason Reason, n int) Counts {
	var c Counts
	c.ByState[state] = n
	if reason != NoReason {
		c.ByReason[reason] = n
	}
	return c
}

// Plus adds o to c.
func (c Counts) Plus(o Counts) Counts {
	for i := range c.ByState {
		c.ByState[i] += o.ByState[i]
	}
	for i := range c.ByReason {
		c.ByReason[i] += o.ByReason[i]
	}
	return c
}

// Minus takes away o, which c was before: what is left came since. Executions that left a state make its count negative.
func (c Counts) Minus(o Counts) Counts {
	for i := range c.ByState {
		c.ByState[i] -= o.ByState[i]
	}
	for i := range c.ByReason {
		c.ByReason[i] -= o.ByReason[i]
	}
	return c
}

// Total is the number of executions.
func (c Counts) Total() int {
	n := 0
	for _, k := range c.ByState {
		n += k
	}
	return n
}

// Of is the number of executions in state s.
func (c Counts) Of(s ExecutionState) int { return c.ByState[s] }

// Ended is the number of executions in a final state.
func (c Counts) Ended() int {
	return c.Total() - c.ByState[Queued] - c.ByState[InProgress]
}

// Statistics is IoT Hub's member of a job of the same name. The five counts add up:
// DeviceCount = Pending + Running + Succeeded + Failed, where Failed counts all that ended without success.
type Statistics struct {
	DeviceCount    int `json:"deviceCount"`
	PendingCount   int `json:"pendingCount"`
	RunningCount   int `json:"runningCount"`
	SucceededCount int `json:"succeededCount"`
	FailedCount    int `json:"failedCount"`
}

// Statistics folds the counts into IoT Hub's five.
func (c Counts) Statistics() Statistics {
	return Statistics{
		DeviceCount:    c.Total(),
		PendingCount:   c.Of(Queued),
		RunningCount:   c.Of(InProgress),
		SucceededCount: c.Of(Succeeded),
		FailedCount:    c.Ended() - c.Of(Succeeded),
	}
}

// StateMap gives the counts by the API's names; every state is present.
func (c Counts) StateMap() map[string]int {
	m := make(map[string]int, len(c.ByState))
	for s, n := range c.ByState {
		m[ExecutionState(s).String()] = n
	}
	return m
}

// Awaiting reports whether r is no end, but what an execution in progress waits for.
func (r Reason) Awaiting() bool { return r == AwaitingConfirmation || r == AwaitingProperty }

// AwaitingMap gives the number of executions in progress by what they wait for, nil when none does.
func (c Counts) AwaitingMap() map[string]int {
	var m map[string]int
	for _, r := range []Reason{AwaitingConfirmation, AwaitingProperty} {
		if n := c.ByReason[r]; n > 0 {
			if m == nil {
				m = map[string]int{}
			}
			m[r.String()] = n
		}
	}
	return m
}

// ReasonMap gives the counts by reason of those that ended without success; only reasons that occurred are present.
func (c Counts) ReasonMap() map[string]int {
	m := map[string]int{}
	for r, n := range c.ByReason {
		if n > 0 && !Reason(r).Awaiting() {
			m[Reason(r).String()] = n
		}
	}
	return m
}
