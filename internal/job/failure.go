package job

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FailurePolicy says what failures of devices mean for a job. Its members stand in the definition beside the others; each
// is optional, and absent ones cost nothing.
type FailurePolicy struct {
	// Abort ends a run early when too many devices failed.
	Abort *Abort `json:"abort,omitempty"`
	// Retry has devices called again.
	Retry *Retry `json:"retry,omitempty"`
	// Timeout bounds how long executions take.
	Timeout *Timeout `json:"timeout,omitempty"`
	// SucceedOn and RejectOn say which answers of a device to a method mean success, 200 to 299 by default, and refusal.
	SucceedOn *AnswerRule `json:"succeedOn,omitempty"`
	RejectOn  *AnswerRule `json:"rejectOn,omitempty"`
	// DeliveryGuarantee is AtLeastOnce or, the same, "", or AtMostOnce.
	DeliveryGuarantee DeliveryGuarantee `json:"deliveryGuarantee,omitempty"`
}

// orNil gives p for a run to keep, nil when it says nothing.
func (p FailurePolicy) orNil() *FailurePolicy {
	if p == (FailurePolicy{}) {
		return nil
	}
	return &p
}

// Limits of a failure policy. docs/limits.md lists them for users.
const (
	MaxCriteria          = 10
	MaxMinExecuted       = 10_000_000
	DefaultMinExecuted   = 1
	MaxRetries           = 1000
	MaxRetryUntil        = 366 * 24 * time.Hour
	MaxRetryDelay        = 7 * 24 * time.Hour
	DefaultRetryDelay    = time.Minute
	DefaultRetryMaxDelay = time.Hour
	MaxRetryFactor       = 10
	DefaultRetryFactor   = 2
	DefaultRetryJitter   = 0.1
	MaxNotStarted        = 366 * 24 * time.Hour
	MaxInProgress        = 10 * time.Minute // the longest call that IoT Hub allows
	MaxStatusRanges      = 50
	MinStatusCode        = -1 << 31
	MaxStatusCode        = 1<<31 - 1
	MaxAnswerPath        = 256
	MaxAnswerValue       = 256
)

// failurePolicy reads the members that FailurePolicy names.
func (o *object) failurePolicy() FailurePolicy {
	p := FailurePolicy{
		Abort: o.abort(), Retry: o.retry(!o.has("maxExecutionTimeInSeconds")), Timeout: o.timeout(),
		SucceedOn: o.answerRule("succeedOn"), RejectOn: o.answerRule("rejectOn"),
	}
	p.DeliveryGuarantee = o.guarantee(p.Retry)
	return p
}

// failureMembers are the names of FailurePolicy's members.
func failureMembers() []string {
	return []string{"abort", "retry", "timeout", "succeedOn", "rejectOn", "deliveryGuarantee"}
}

// objects reads an array of 1 to most objects; the wrong ones among them are nil.
func (o *object) objects(name string, most int) []*object {
	if !o.has(name) {
		o.fault(name, nil, fmt.Sprintf("is required: an array of 1 to %d objects", most))
		return nil
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(o.members[name], &raw); err != nil || len(raw) == 0 || len(raw) > most {
		o.fault(name, o.members[name], fmt.Sprintf("must be an array of 1 to %d objects", most))
		return nil
	}
	found := make([]*object, len(raw))
	for i := range raw {
		found[i] = newObject(fmt.Sprintf("%s[%d]", o.field(name), i), raw[i], o.faults)
	}
	return found
}

// word reads one of a closed set of words, def when absent.
func word[T ~string](o *object, name string, def T, known []T) T {
	if !o.has(name) {
		return def
	}
	if w := T(o.text(name)); slices.Contains(known, w) {
		return w
	}
	quoted := make([]string, len(known))
	for i, k := range known {
		quoted[i] = strconv.Quote(string(k))
	}
	last := len(quoted) - 1
	rule := quoted[last]
	if last > 0 {
		rule = strings.Join(quoted[:last], ", ") + " or " + rule
	}
	o.fault(name, o.members[name], "must be "+rule)
	return def
}

// decimal reads a number of at most two decimals above least and up to most, def when absent.
func (o *object) decimal(name string, def, least, most float64) float64 {
	return o.hundredths(name, def, [2]float64{least + 0.01, most}, fmt.Sprintf("above %v and up to %v", least, most))
}

// decimalFrom reads a number of at most two decimals from least to most, def when absent.
func (o *object) decimalFrom(name string, def, least, most float64) float64 {
	return o.hundredths(name, def, [2]float64{least, most}, fmt.Sprintf("from %v to %v", least, most))
}

func (o *object) hundredths(name string, def float64, limits [2]float64, span string) float64 {
	if !o.has(name) {
		return def
	}
	n, err := strconv.ParseFloat(string(o.members[name]), 64)
	if err != nil || n < limits[0] || n > limits[1] || math.Abs(n*100-math.Round(n*100)) > 1e-7 {
		o.fault(name, o.members[name], "must be a number "+span+" with at most two decimals")
		return def
	}
	return n
}
