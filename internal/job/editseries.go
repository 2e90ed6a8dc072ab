package job

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Former is what a recurring job was before an edit. Runs that began with it keep to it.
type Former struct {
	Definition
	ListFrom    int `json:",omitempty"`
	ListChunks  int
	DeviceCount int
	Warnings    []string
	EditedBy    Principal `json:",omitzero"`
}

// former gives what the job is now.
func (r *Record) former() *Former {
	f := &Former{
		Definition: r.Definition, ListFrom: r.ListFrom, ListChunks: r.ListChunks, DeviceCount: r.DeviceCount, Warnings: r.Warnings,
		EditedBy: r.EditedBy,
	}
	f.Schedule = nil // that of the job counts
	return f
}

// AsOf gives the record of a run the definition that it began with.
func (r *Record) AsOf(f *Former) {
	start := r.StartTime
	r.Definition = f.Definition
	r.StartTime = start
	r.ListFrom, r.ListChunks, r.DeviceCount, r.Warnings, r.EditedBy = f.ListFrom, f.ListChunks, f.DeviceCount, f.Warnings, f.EditedBy
}

// SeriesEdit is a decoded edit of a recurring job. It takes effect with the next run that begins.
type SeriesEdit struct {
	Next  Definition // with the devices of a new list, and without the job's id
	Names []string   // of the members that the patch names
	of    int        // Edits of the job when it was decoded

	target    bool // the patch names a target
	remaining bool // it says how many runs remain
	// ListFrom, ListChunks and DeviceCount are those of a new list, once it is stored, and Warnings those of a new target.
	ListFrom, ListChunks, DeviceCount int
	Warnings                          []string
}

// Targets reports whether the edit changes the devices of later runs.
func (e *SeriesEdit) Targets() bool { return e.target }

// DecodeSeriesEdit reads a merge patch (RFC 7396) of the definition of a recurring job at now. Payload and updateTwin, in which null
// has a meaning of its own, are replaced as a whole. The error, if any, is Faults.
func (r *Record) DecodeSeriesEdit(patch []byte, now time.Time) (SeriesEdit, error) {
	if err := checkText(patch); err != nil {
		return SeriesEdit{}, err
	}
	var faults Faults
	o := newObject("body", patch, &faults)
	if o == nil {
		return SeriesEdit{}, faults
	}
	o.only(definitionMembers()...)
	for _, name := range []string{"jobId", "startTime"} {
		if _, named := o.members[name]; named {
			o.fault(name, o.members[name], "cannot be changed")
		}
	}
	if raw, named := o.members["schedule"]; named && isNull(raw) {
		o.fault("schedule", raw, "cannot be taken away; cancel the job")
	}
	if len(o.members) == 0 {
		o.fault("", patch, "must name what is to change")
	}
	if len(faults) > 0 {
		return SeriesEdit{}, faults
	}
	return r.seriesEdit(o, now)
}

func (r *Record) seriesEdit(o *object, now time.Time) (SeriesEdit, error) {
	e := SeriesEdit{Names: slices.Sorted(maps.Keys(o.members)), of: r.Edits}
	e.target = o.members["queryCondition"] != nil || o.members["deviceIds"] != nil
	if s := o.members["schedule"]; s != nil {
		var members map[string]json.RawMessage
		e.remaining = json.Unmarshal(s, &members) == nil && members["remainingRuns"] != nil
	}
	body, err := r.merged(o, e.target)
	if err != nil {
		return SeriesEdit{}, err
	}
	if e.Next, err = Decode(body, now); err != nil {
		return SeriesEdit{}, err
	}
	if !e.target {
		e.Next.DeviceIDs = nil
	}
	e.Next.FromTemplate, e.Next.CopyOf = r.FromTemplate, r.CopyOf
	return e, nil
}

// anyDevice stands for the list of a job, which is stored in rows of its own, while an edit is decoded that keeps it.
const anyDevice = "any"

// merged applies the patch o to the job's definition.
func (r *Record) merged(o *object, target bool) ([]byte, error) {
	d := r.Definition
	d.JobID, d.StartTime, d.RerunOf, d.FromTemplate, d.CopyOf = "", time.Time{}, nil, nil, nil
	switch {
	case !target && r.ListChunks > 0:
		d.DeviceIDs = []string{anyDevice}
	case o.has("deviceIds") && !o.has("queryCondition"):
		d.QueryCondition = "" // one takes the place of the other
	}
	before, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("editing job %s: %w", r.JobID, err)
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(before, &members); err != nil {
		return nil, fmt.Errorf("editing job %s: %w", r.JobID, err)
	}
	if r.literal(o.members) {
		members["placeholders"] = json.RawMessage("false")
	}
	for name, change := range o.members {
		switch {
		case isNull(change):
			delete(members, name)
		case name == "updateTwin":
			members[name] = change
		case name == "cloudToDeviceMethod":
			members[name] = mergeMethod(members[name], change)
		default:
			members[name] = mergePatch(members[name], change)
		}
	}
	return json.Marshal(members)
}

// mergeMethod is mergePatch of a method, with the payload replaced as a whole.
func mergeMethod(before, change json.RawMessage) json.RawMessage {
	merged := mergePatch(before, change)
	var named, members map[string]json.RawMessage
	if json.Unmarshal(change, &named) != nil || named["payload"] == nil || json.Unmarshal(merged, &members) != nil {
		return merged
	}
	members["payload"] = named["payload"]
	whole, err := json.Marshal(members)
	if err != nil {
		return merged // cannot be: its parts are valid
	}
	return whole
}

// EditSeries changes a recurring job from its next run on. It reports whether it has: the edit of a job that was edited since it was
// decoded does nothing.
func (r *Record) EditSeries(e SeriesEdit, by Principal, now time.Time) (bool, error) {
	if e.of != r.Edits {
		return false, nil
	}
	if r.Series.Runs > 0 {
		r.Outdated = r.former()
	}
	id, start := r.JobID, r.StartTime
	r.Definition, r.EditedBy = e.Next, by
	r.JobID, r.StartTime, r.DeviceIDs = id, start, nil
	r.Edits++
	if e.target {
		r.ListFrom, r.ListChunks, r.DeviceCount, r.Warnings = e.ListFrom, e.ListChunks, e.DeviceCount, e.Warnings
	}
	return true, r.Ask(now, func(_ *schedule.Series, st schedule.State) (schedule.State, error) {
		if e.remaining {
			st.Remaining = r.Schedule.RemainingRuns
			st.Limited = st.Remaining > 0
		}
		return st, nil
	})
}

// Note says in the audit trail what the edit is about, and which version it makes. It holds no values, since an address may
// be a secret.
func (e *SeriesEdit) Note() string {
	return Note(fmt.Appendf(nil, "%s; version %d, from the next run on", strings.Join(e.Names, ", "), e.of+2))
}
