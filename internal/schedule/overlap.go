package schedule

// OverlapPolicy is what happens to an occurrence that is due while a run of the job is not over (names as in Temporal's
// Schedules, https://docs.temporal.io/schedule#overlap-policy).
type OverlapPolicy string

// The overlap policies.
const (
	Skip        OverlapPolicy = "skip"        // it does not run
	BufferOne   OverlapPolicy = "bufferOne"   // it runs when the other has ended; while one waits, later ones are dropped
	BufferAll   OverlapPolicy = "bufferAll"   // they run one after the other; what finds MaxBuffered waiting is dropped
	CancelOther OverlapPolicy = "cancelOther" // the other is cancelled; the newest runs when it has ended, older ones are dropped
	AllowAll    OverlapPolicy = "allowAll"    // they run side by side
)

// OverlapPolicies lists them.
func OverlapPolicies() []OverlapPolicy {
	return []OverlapPolicy{Skip, BufferOne, BufferAll, CancelOther, AllowAll}
}

// MaxBuffered is how many runs of a job may wait.
const MaxBuffered = 366

// Action is what an overlap policy decides about a due occurrence.
type Action string

// The actions.
const (
	ActStart   Action = "start"   // it runs now
	ActSkip    Action = "skip"    // it never runs, because of the policy
	ActDrop    Action = "drop"    // it never runs, because the buffer is full
	ActBuffer  Action = "buffer"  // it waits for the running run
	ActReplace Action = "replace" // it takes the place of what waits; what runs is cancelled
)

// Decide gives the action for an occurrence that is due now, with so many runs going on and so many occurrences waiting.
func (p OverlapPolicy) Decide(running, waiting int) Action {
	if p == AllowAll || running <= 0 && waiting <= 0 {
		return ActStart
	}
	switch p {
	case BufferOne:
		if waiting <= 0 {
			return ActBuffer
		}
		return ActDrop
	case BufferAll:
		if waiting < MaxBuffered {
			return ActBuffer
		}
		return ActDrop
	case CancelOther:
		return ActReplace
	}
	return ActSkip
}
