package job

import (
	"slices"
	"time"
)

// DeliveryGuarantee says what happens to a device whose worker died before it stored an outcome.
type DeliveryGuarantee string

// The guarantees.
const (
	AtLeastOnce DeliveryGuarantee = "atLeastOnce" // it is called again
	AtMostOnce  DeliveryGuarantee = "atMostOnce"  // it is never called again, and ends inDoubt
)

// Guarantees lists the guarantees.
func Guarantees() []DeliveryGuarantee { return []DeliveryGuarantee{AtLeastOnce, AtMostOnce} }

// Once reports whether no device may be called twice.
func (p *FailurePolicy) Once() bool { return p != nil && p.DeliveryGuarantee == AtMostOnce }

// doubt is the outcome of a call of which nobody knows whether it was made.
const doubt = "the worker that called this device, or was about to, ended without storing an outcome"

// Mark begins an attempt of every execution that can be called at now and that which chooses. It is stored before the first call, so
// that nobody calls these devices again whatever happens.
func (s *Shard) Mark(now time.Time, which func(*Execution) bool) {
	for i := range s.Executions {
		if e := &s.Executions[i]; e.Due(now) && which(e) {
			e.Begin(now)
		}
	}
}

// Unmark takes marks back that led to no call.
func (s *Shard) Unmark() {
	for i := range s.Executions {
		s.Executions[i].Undo()
	}
}

// Doubt ends executions that a dead worker had marked.
func (s *Shard) Doubt(now time.Time) {
	for i := range s.Executions {
		if e := &s.Executions[i]; e.State == InProgress && !e.Awaiting() {
			e.End(Outcome{State: InDoubt, Reason: OutcomeUnknown, Answer: []byte(doubt)}, now)
		}
	}
}

// guarantee reads deliveryGuarantee and holds the retry criteria against it.
func (o *object) guarantee(r *Retry) DeliveryGuarantee {
	g := word(o, "deliveryGuarantee", "", Guarantees())
	for i := range r.criteria() {
		if g == AtMostOnce && !slices.Contains(neverReached(), r.Criteria[i].FailureType) {
			o.fault("retry", nil, `with deliveryGuarantee atMostOnce only "deviceOffline" and "deviceNotFound" can be retried: other devices may have been called`)
		}
	}
	return g
}

func (r *Retry) criteria() []RetryCriterion {
	if r == nil {
		return nil
	}
	return r.Criteria
}

// neverReached are the failures of devices that were surely not called.
func neverReached() []RetryType {
	return []RetryType{RetryType(DeviceOffline.String()), RetryType(DeviceNotFound.String())}
}
