package job

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNotWaiting says that a batch does not wait for what somebody wants to give it.
var ErrNotWaiting = errors.New("the batch does not wait for this")

// Approve lets batch i, from 0 on, begin as far as its approval goes, and reports whether that changed anything.
func (r *Rolling) Approve(i int, a Approval) (bool, error) {
	if r == nil || i >= len(r.Batches) {
		return false, fmt.Errorf("%w: there is no batch %d", ErrNotWaiting, i+1)
	}
	b, gate := &r.Batches[i], r.Policy.Batches[i].Gate
	switch {
	case b.Approval != nil:
		return false, nil
	case gate == nil || !gate.Approval:
		return false, fmt.Errorf("%w: batch %d needs no approval", ErrNotWaiting, i+1)
	case b.State != BatchWaiting:
		return false, fmt.Errorf("%w: batch %d is %s; its turn to be approved has not come", ErrNotWaiting, i+1, b.State)
	}
	b.Approval = &a
	return true, nil
}

// Force has the next batch begin without regard to the results of the one before and to times, but not without its approval. It
// reports whether that changed anything.
func (r *Rolling) Force() (bool, error) {
	if r == nil || r.Current()+1 >= len(r.Batches) {
		return false, fmt.Errorf("%w: no batch is to come", ErrNotWaiting)
	}
	n := r.Current() + 1
	b := &r.Batches[n]
	if slices.Equal(b.WaitsFor, []Wait{WaitApproval}) {
		return false, fmt.Errorf("%w: batch %d waits for its approval only", ErrNotWaiting, n+1)
	}
	changed := !b.Forced
	b.Forced = true
	return changed, nil
}

// Missed reports whether the results of a batch keep the next one from beginning.
func (r *Rolling) Missed() bool {
	next := r.Current() + 1
	return next < len(r.Batches) && slices.Contains(r.Batches[next].WaitsFor, WaitThreshold)
}

// DecodeApproval reads the body of an approval: the batch, from 1 on, and a remark. The error, if any, is Faults.
func DecodeApproval(body []byte) (batch int, remark string, err error) {
	if err := checkText(body); err != nil {
		return 0, "", err
	}
	var faults Faults
	o := newObject("body", body, &faults)
	if o == nil {
		return 0, "", faults
	}
	o.only("batch", "remark")
	if !o.has("batch") {
		o.fault("batch", nil, "is required: the number of the batch, from 1 on")
	}
	batch, remark = int(o.integer("batch", 0, 1, MaxBatches)), o.note("remark")
	if len(faults) > 0 {
		return 0, "", faults
	}
	return batch, remark, nil
}

// Same reports whether two callers may be one and the same: whoever shares a key cannot be told apart, nor can those of whom
// nothing is known.
func (p Principal) Same(o Principal) bool { return p.Kind == o.Kind && p.ID == o.ID }
