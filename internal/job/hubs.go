package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/nearest"
)

// MaxHubs is how many hubs one deployment works with, the default one included.
const MaxHubs = 20

// MaxHubName is the longest name of a hub: IoT Hub's own limit (https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules).
const MaxHubName = 50

// allHubs stands for every hub that the settings name.
const allHubs = "all"

// HubName reports whether name can name a hub.
func HubName(name string) bool {
	if name == "" || len(name) > MaxHubName || name == allHubs || name[0] < 'a' || name[0] > 'z' || strings.HasSuffix(name, "-") {
		return false
	}
	return !strings.ContainsFunc(name, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' })
}

// Hubs says at which hubs a job works: at those of Names, or at all that the settings name when its run begins. In JSON it is an
// array, or "all".
type Hubs struct {
	All   bool
	Names []string
}

// MarshalJSON implements [json.Marshaler].
func (h Hubs) MarshalJSON() ([]byte, error) {
	if h.All {
		return json.Marshal(allHubs)
	}
	return json.Marshal(h.Names)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (h *Hubs) UnmarshalJSON(raw []byte) error {
	if string(raw) == `"`+allHubs+`"` {
		*h = Hubs{All: true}
		return nil
	}
	h.All = false
	return json.Unmarshal(raw, &h.Names)
}

// Several reports whether a run has a run of its own at each hub. One that names a single hub is that hub's.
func (h *Hubs) Several() bool { return h != nil && (h.All || len(h.Names) > 1) }

// Single gives the one hub that a job names, "" for the default hub and where there are several.
func (h *Hubs) Single() string {
	if h == nil || h.Several() {
		return ""
	}
	return h.Names[0]
}

// Among gives the hubs out of those that the settings name.
func (h *Hubs) Among(known []string) []string {
	if h.All {
		return known
	}
	return h.Names
}

// Check refuses hubs that the settings do not name.
func (h *Hubs) Check(known []string) Faults {
	var faults Faults
	if h == nil {
		return nil
	}
	for i, name := range h.Names {
		if slices.Contains(known, name) {
			continue
		}
		rule := "is no hub of this deployment"
		if near := nearest.Name(name, known); near != "" {
			rule += fmt.Sprintf("; did you mean %q?", near)
		}
		faults = append(faults, Fault{Field: fmt.Sprintf("hubs[%d]", i), Value: shown(name), Rule: rule})
	}
	return faults
}

// hubs reads at which hubs the job works, nil for the default one.
func (o *object) hubs() *Hubs {
	const name = "hubs"
	if !o.has(name) {
		return nil
	}
	var h Hubs
	err := json.Unmarshal(o.members[name], &h)
	if err != nil || !h.All && (len(h.Names) == 0 || len(h.Names) > MaxHubs) {
		o.fault(name, o.members[name], fmt.Sprintf(`must be "all", or an array of 1 to %d names of hubs`, MaxHubs))
		return nil
	}
	for i, hub := range h.Names {
		at := fmt.Sprintf("%s[%d]", name, i)
		if first := slices.Index(h.Names, hub); !HubName(hub) {
			o.faults.add(at, hub, HubNameRule)
		} else if first < i {
			o.faults.add(at, hub, fmt.Sprintf("repeats hubs[%d]", first))
		}
	}
	if h.Several() && o.has("deviceIds") {
		o.fault("deviceIds", nil, "must not stand beside more than one hub: their devices differ; give queryCondition, or one hub")
	}
	return &h
}

// hubMark stands between the id of a run at several hubs and the name of one of them, in the id of the run there.
const hubMark = "@"

// HubRunID gives the id of what a run at several hubs does at one of them.
func HubRunID(runID, hub string) string { return runID + hubMark + hub }

// WholeRun takes the id of a run at one of several hubs apart. hub is "" where the id is of a whole run.
func WholeRun(runID string) (whole, hub string) {
	whole, hub, _ = strings.Cut(runID, hubMark)
	return whole, hub
}

// IsRun tells the id of a run of a recurring job, or of a run at one of several hubs, from that of a job.
func IsRun(id string) bool {
	whole, hub := WholeRun(id)
	_, _, recurs := NumberOf(whole)
	return recurs || hub != ""
}

// HubRun is what a run at several hubs knows of the run at one of them.
type HubRun struct {
	Hub           string
	Status        Status
	EndReason     EndReason `json:",omitempty"`
	FailureReason string    `json:",omitempty"`
	Block         *Block    `json:",omitempty"`
	Pause         *Pause    `json:",omitempty"`
	StartedAt     time.Time `json:",omitzero"`
	EndedAt       time.Time `json:",omitzero"`
	Devices       int
	PlanDone      bool
	Counts        Counts
	// Waiting is the batch that is next there, nil where none is.
	Waiting *WaitingBatch `json:",omitempty"`
	// AskedAt is when somebody last sent for it because nobody seemed to look after it.
	AskedAt time.Time `json:",omitzero"`
}

// WaitingBatch is a batch, from 1 on, that has not begun, and why.
type WaitingBatch struct {
	Batch    int    `json:"batch"`
	WaitsFor []Wait `json:"waitsFor"`
}

// waiting gives the batch that is next, nil where none is or nothing keeps it.
func (r *Rolling) waiting() *WaitingBatch {
	if r == nil {
		return nil
	}
	next := r.Current() + 1
	if next >= len(r.Batches) || len(r.Batches[next].WaitsFor) == 0 {
		return nil
	}
	return &WaitingBatch{Batch: next + 1, WaitsFor: slices.Clone(r.Batches[next].WaitsFor)}
}

// SpreadOver makes a run that begins one at several hubs, each of which has a run of its own under it.
func (r *Run) SpreadOver(hubs []string) {
	r.Rollout, r.Rounds = nil, nil // each hub has its own
	r.Hubs = make([]HubRun, len(hubs))
	for i, hub := range hubs {
		r.Hubs[i] = HubRun{Hub: hub, Status: StatusScheduled}
	}
}

// At gives the run at one of the hubs in its first state. rec is the record of r.
func (r *Run) At(hub string, rec *Record) Run {
	latest := *rec
	latest.Definition = rec.Latest(r)
	child := latest.NewRun()
	child.ID, child.Hub, child.StartAt, child.Edits, child.Order = HubRunID(r.ID, hub), hub, r.StartedAt, r.Edits, r.Order
	if r.Status == StatusPaused {
		child.Order-- // it has yet to pause
	}
	return child
}

// HandOn has the run at a hub follow what was done to the whole run since, and reports whether that changed it.
func (r *Run) HandOn(child *Run, rec *Record, now time.Time) (changed bool, err error) {
	if child.Status.Ended() {
		return false, nil
	}
	if r.Edits > child.Edits {
		def := rec.Latest(r)
		child.TakeOver(&def)
		if def.MaintenanceWindow != nil || !child.OpenUntil.IsZero() {
			child.NewWindow()
		}
		child.Edits, changed = r.Edits, true
	}
	if r.Status == StatusStopping {
		if r.EndReason == "" || child.Status == StatusStopping {
			return changed, nil
		}
		child.EndReason, child.FailureReason = r.EndReason, r.FailureReason
		if child.StartedAt.IsZero() {
			return true, child.Become(StatusCancelled, now)
		}
		return true, child.Become(StatusStopping, now)
	}
	if child.Order == r.Order {
		return changed, nil
	}
	child.Order = r.Order
	switch paused := child.Status == StatusPaused; {
	case r.Status == StatusPaused && child.Status != StatusStopping:
		err = child.Hold(*r.Pause)
	case r.Status != StatusPaused && paused:
		err = child.Resume(now)
	}
	return true, err
}

// RestsSomewhere reports whether a run that goes on is paused at one of its hubs.
func (r *Run) RestsSomewhere() bool {
	return slices.ContainsFunc(r.Hubs, func(h HubRun) bool { return h.Status == StatusPaused })
}

// maxHubText is how much of a reason a whole run keeps for each of its hubs.
const maxHubText = 300

// Saw takes over where the run at a hub stands.
func (h *HubRun) Saw(child *Run) {
	h.Status, h.EndReason, h.FailureReason = child.Status, child.EndReason, cutText(child.FailureReason, maxHubText)
	h.Pause, h.StartedAt, h.EndedAt = child.Pause, child.StartedAt, child.EndedAt
	h.Devices, h.Counts = child.Devices, child.Counts()
	h.PlanDone = child.PlanDone || child.Status.Ended()
	h.Waiting = nil
	if !child.Status.Ended() {
		h.Waiting = child.Rollout.waiting()
	}
	h.Block = nil
	if child.Block != nil {
		b := *child.Block
		b.Reason = cutText(b.Reason, maxHubText)
		h.Block = &b
	}
}

func cutText(text string, most int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), most)])
}

// Gather makes a run at several hubs show what became of it there: it runs while it runs anywhere, and ends when it has ended
// everywhere.
func (r *Run) Gather(now time.Time) error {
	r.Closed, r.Live, r.Devices, r.PlanDone = Counts{}, Counts{}, 0, true
	left := map[Status]int{}
	for _, h := range r.Hubs {
		r.Closed = r.Closed.Plus(h.Counts)
		r.Devices += h.Devices
		r.PlanDone = r.PlanDone && h.PlanDone
		if !h.Status.Ended() {
			left[h.Status]++
		}
	}
	switch {
	case len(left) == 0:
		return r.gatherEnd(now)
	case r.Status == StatusStopping:
		return nil
	case left[StatusRunning]+left[StatusScheduled] > 0:
		return r.reach(StatusRunning, now)
	case left[StatusBlocked] > 0:
		if err := r.reach(StatusBlocked, now); err != nil {
			return err
		}
		r.Block = r.firstBlock()
		return nil
	case left[StatusPaused] > 0:
		if r.Status == StatusPaused && r.Pause.By.Kind != "" {
			return nil // by a person, who paused them all
		}
		pause := r.firstPause()
		if err := r.reach(StatusPaused, now); err != nil {
			return err
		}
		r.Pause = pause
		return nil
	}
	return r.reach(StatusStopping, now)
}

// reach brings the run into a status, by way of running where there is no other.
func (r *Run) reach(next Status, now time.Time) error {
	if r.Status != next && !r.Status.CanBecome(next) {
		if err := r.Become(StatusRunning, now); err != nil {
			return err
		}
	}
	return r.Become(next, now)
}

// firstBlock is what the first hub that blocks its run says.
func (r *Run) firstBlock() *Block {
	var first *Block
	for _, h := range r.Hubs {
		if h.Status != StatusBlocked || h.Block == nil {
			continue
		}
		if first == nil {
			b := *h.Block
			b.Reason = h.Hub + ": " + b.Reason
			first = &b
		} else if h.Block.ProbeAt.Before(first.ProbeAt) {
			first.ProbeAt = h.Block.ProbeAt
		}
	}
	return first
}

// firstPause is the pause that ends first by itself, else the first there is.
func (r *Run) firstPause() *Pause {
	var first *Pause
	for _, h := range r.Hubs {
		p := h.Pause
		if h.Status != StatusPaused || p == nil {
			continue
		}
		if first == nil || !p.Until.IsZero() && (first.Until.IsZero() || p.Until.Before(first.Until)) {
			first = p
		}
	}
	return first
}

// gatherEnd ends a run that has ended at every hub: as failed or cancelled if it did so anywhere.
func (r *Run) gatherEnd(now time.Time) error {
	end := StatusCompleted
	if r.EndReason == "" { // nobody ended the whole run
		r.EndReason = EndFinished
		for _, h := range r.Hubs {
			if h.Status == StatusCompleted && h.EndReason != EndFinished && end == StatusCompleted {
				r.EndReason = h.EndReason
			}
			if h.Status == StatusCancelled && end == StatusCompleted || h.Status == StatusFailed && end != StatusFailed {
				end, r.EndReason = h.Status, h.EndReason
			}
			if h.FailureReason != "" {
				r.FailureReason = strings.TrimPrefix(r.FailureReason+"; "+h.Hub+": "+h.FailureReason, "; ")
			}
		}
	} else {
		end = StatusCancelled
	}
	if r.Status.CanBecome(end) {
		return r.Become(end, now)
	}
	if err := r.reach(StatusStopping, now); err != nil {
		return err
	}
	return r.Become(end, now)
}
