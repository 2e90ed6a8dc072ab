package job

import (
	"fmt"
	"math"
)

// Abort ends a run early, or pauses it, when one of its criteria is met.
type Abort struct {
	Criteria []AbortCriterion `json:"criteria"`
}

// AbortCriterion is met when, of the executions that ended after their device was called, at least ThresholdPercentage ended
// as FailureType says, and at least MinNumberOfExecutedDevices have ended. Executions that wait for a retry have not.
type AbortCriterion struct {
	FailureType FailureType `json:"failureType"`
	// ThresholdPercentage is above 0 and up to 100, with at most two decimals.
	ThresholdPercentage        float64     `json:"thresholdPercentage"`
	MinNumberOfExecutedDevices int         `json:"minNumberOfExecutedDevices"`
	Action                     AbortAction `json:"action"`
	// Over says which executions are counted: all of the run, also where it is "", or those of each batch for itself.
	Over AbortScope `json:"over,omitempty"`
}

// FailureType says which ends of an execution count as failures.
type FailureType string

// The failure types of an abort criterion.
const (
	FailureFailed   FailureType = "failed"
	FailureTimedOut FailureType = "timedOut"
	FailureRejected FailureType = "rejected"
	FailureAll      FailureType = "all"
)

// AbortTypes lists the failure types of abort criteria.
func AbortTypes() []FailureType {
	return []FailureType{FailureFailed, FailureTimedOut, FailureRejected, FailureAll}
}

// AbortAction is what happens when a criterion is met.
type AbortAction string

// The actions of an abort criterion.
const (
	AbortCancel AbortAction = "cancel" // no new call starts, and devices that were not called become canceled
	AbortPause  AbortAction = "pause"  // the run is paused; once a person resumes it, the criterion counts anew
)

// AbortActions lists the actions.
func AbortActions() []AbortAction { return []AbortAction{AbortCancel, AbortPause} }

// Executed is the number of executions that ended after their device was called.
func (c Counts) Executed() int {
	return c.ByState[Succeeded] + c.calledFailed() + c.ByState[Rejected] + c.ByState[InDoubt] + c.calledTimedOut()
}

func (c Counts) calledTimedOut() int {
	return c.ByState[TimedOut] - c.ByReason[NotStarted] - c.ByReason[StartTimedOut] - c.ByReason[LocalTimeMissed]
}

func (c Counts) calledFailed() int {
	return c.ByState[Failed] - c.ByReason[NoTimeZone] - c.ByReason[InvalidTimeZone] - c.ByReason[MissingParameter] -
		c.ByReason[InvalidParameter]
}

// failures counts the executed ones that t stands for.
func (c Counts) failures(t FailureType) int {
	switch t {
	case FailureFailed:
		return c.calledFailed()
	case FailureTimedOut:
		return c.calledTimedOut()
	case FailureRejected:
		return c.ByState[Rejected]
	default:
		return c.Executed() - c.ByState[Succeeded]
	}
}

// Met gives the first criterion over the run that c meets, nil when there is none. Those that pause the run do not count what was
// forgiven.
func (a *Abort) Met(c, forgiven Counts) *AbortCriterion { return a.met(OverRun, c, forgiven) }

func (a *Abort) met(over AbortScope, c, forgiven Counts) *AbortCriterion {
	for i := range a.Criteria {
		if (a.Criteria[i].Over == OverBatch) == (over == OverBatch) && a.Criteria[i].met(a.Criteria[i].counted(c, forgiven)) {
			return &a.Criteria[i]
		}
	}
	return nil
}

func (a AbortCriterion) counted(c, forgiven Counts) Counts {
	if a.Action == AbortPause {
		return c.Minus(forgiven)
	}
	return c
}

// Abort gives the criterion that the run's outcomes meet and that can still change something, and how they meet it; nil when
// there is none. Where every device has ended nothing is left to abort.
func (r *Run) Abort() (met *AbortCriterion, how string) {
	if r.Failure == nil || r.Failure.Abort == nil || !r.Status.CanBecome(StatusStopping) {
		return nil, ""
	}
	c := r.Counts()
	if r.PlanDone && c.Ended() == c.Total() {
		return nil, ""
	}
	if met = r.Failure.Abort.Met(c, r.Forgiven); met != nil {
		how = met.explain(met.counted(c, r.Forgiven))
	} else {
		met, how = r.abortOfBatch()
	}
	if met == nil || met.Action == AbortPause && !r.Status.CanBecome(StatusPaused) {
		return nil, ""
	}
	return met, how
}

// met compares whole numbers, so that it is exact at the threshold.
func (a AbortCriterion) met(c Counts) bool {
	executed := c.Executed()
	hundredths := int(math.Round(a.ThresholdPercentage * 100))
	return executed > 0 && executed >= a.MinNumberOfExecutedDevices && c.failures(a.FailureType)*100*100 >= hundredths*executed
}

// explain says how c meets the criterion.
func (a AbortCriterion) explain(c Counts) string {
	what := string(a.FailureType)
	if a.FailureType == FailureAll {
		what = "without success"
	}
	return fmt.Sprintf("%d of %d executed devices ended %s; the abort criterion is %v%% of at least %d",
		c.failures(a.FailureType), c.Executed(), what, a.ThresholdPercentage, a.MinNumberOfExecutedDevices)
}

// abort reads the member of the same name.
func (o *object) abort() *Abort {
	a := o.nested("abort")
	if a == nil {
		return nil
	}
	a.only("criteria")
	found := &Abort{}
	for _, c := range a.objects("criteria", MaxCriteria) {
		if c == nil {
			continue
		}
		c.only("failureType", "thresholdPercentage", "minNumberOfExecutedDevices", "action", "over")
		if !c.has("thresholdPercentage") {
			c.fault("thresholdPercentage", nil, "is required: a number above 0 and up to 100 with at most two decimals")
		}
		found.Criteria = append(found.Criteria, AbortCriterion{
			FailureType:                word(c, "failureType", FailureAll, AbortTypes()),
			ThresholdPercentage:        c.decimal("thresholdPercentage", 0, 0, 100),
			MinNumberOfExecutedDevices: int(c.integer("minNumberOfExecutedDevices", DefaultMinExecuted, 1, MaxMinExecuted)),
			Action:                     word(c, "action", AbortCancel, AbortActions()),
			Over:                       word(c, "over", OverRun, AbortScopes()),
		})
	}
	return found
}
