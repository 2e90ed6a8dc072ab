package job

import (
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// DeviceList says where the devices of a run come from whose job lets runs share a list.
type DeviceList struct {
	RunID    string    // the run that asked the hub: an earlier one, or the run itself
	ListedAt time.Time // when it began to
	// From is the run whose rows are read, "" where the hub is asked; Shards is how many there are.
	From   string `json:",omitempty"`
	Shards int    `json:",omitempty"`
	// Target is what the list was asked for: only a run of the same one may take it over.
	Target string `json:",omitempty"`
	// Complete says that the run has all devices of the list, so that later runs may take it over.
	Complete bool `json:",omitempty"`
}

// Reused reports whether the devices come from an earlier run.
func (l *DeviceList) Reused() bool { return l != nil && l.From != "" }

// ListAge is how old the list was when the run started.
func (r *Run) ListAge() time.Duration { return max(0, r.StartedAt.Sub(r.List.ListedAt)) }

// ListTarget is what a list of devices at a hub is asked for: all that edits may change of it.
func (d *Definition) ListTarget(hub string) string {
	return fmt.Sprintf("%d at %q of %s", d.MaxDevices, hub, d.QueryCondition)
}

// LendsTo gives the list that a run with this target which begins to select at now may take over from the run of p, one of the same
// job; nil when p is not complete, had another target, or the list is older than maxAge.
func (p *Plan) LendsTo(target string, now time.Time, maxAge schedule.Duration) *DeviceList {
	l := p.List
	if l == nil || !l.Complete || l.Target != target || now.Sub(l.ListedAt) > time.Duration(maxAge) {
		return nil
	}
	return &DeviceList{RunID: l.RunID, ListedAt: l.ListedAt, Target: target, From: p.RunID, Shards: p.Shards}
}

// listAge reads how old a list may be, 0 where every run asks the hub.
func (o *object) listAge(def *Definition, s Selection) schedule.Duration {
	const name = "deviceListMaxAge"
	if !o.has(name) {
		return 0
	}
	switch {
	case !o.has("schedule"):
		o.fault(name, nil, "goes with schedule only: there is no earlier run")
	case o.has("deviceIds"):
		o.fault(name, nil, "must not stand beside deviceIds, which take no query")
	case s == SelectContinuous:
		o.fault(name, nil, `must not stand beside selection "continuous", which asks the hub again and again`)
	case def.Divided():
		o.fault(name, nil, "must not stand beside rollout.orderBy, or batches that have a condition or a list: each run asks the hub for its parts")
	}
	return o.durationOr(name, 0, MaxDeviceListAge)
}
