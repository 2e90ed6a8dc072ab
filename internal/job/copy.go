package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/template"
)

// CopyOf says of which job a job is a copy.
type CopyOf struct {
	JobID string `json:"jobId"`
	RunID string `json:"runId"` // tells jobs apart that had the same id one after the other
}

// Copy is a request for a job like another.
type Copy struct {
	// Body has the members that are to be other than those of the job; "" is none.
	Body []byte
	// Key makes a repeated request give the same job; "" is none.
	Key string
}

// Definition makes the definition of a job like that of rec, which started at another time, or starts as soon as possible. ids gives
// the list of rec's devices, and is asked only if the copy has the same. The error, if any, is Faults, or one of ids.
func (c Copy) Definition(rec *Record, run *Run, ids func() ([]string, error), now time.Time) (Definition, error) {
	if err := checkText(c.Body); err != nil {
		return Definition{}, err
	}
	var faults Faults
	o := &object{members: map[string]json.RawMessage{}}
	if len(c.Body) > 0 {
		if o = newObject("body", c.Body, &faults); o == nil || len(faults) > 0 {
			return Definition{}, faults
		}
	}
	base := rec.Latest(run)
	base.JobID, base.StartTime, base.RerunOf, base.FromTemplate, base.CopyOf = "", time.Time{}, nil, nil, nil
	_, query := o.members["queryCondition"]
	_, list := o.members["deviceIds"]
	listed := rec.ListChunks > 0 && !query && !list
	if listed {
		base.DeviceIDs = []string{"listed"} // a rerun's list is longer than a request's, and may hold modules
	}
	text, err := json.Marshal(base)
	if err != nil {
		return Definition{}, fmt.Errorf("copying a job: %w", err)
	}
	members := o.members
	if _, given := members["placeholders"]; !given && base.literal(members) {
		text, err = override(text, map[string]json.RawMessage{"placeholders": json.RawMessage("false")})
	}
	if err == nil {
		text, err = override(text, members)
	}
	if err != nil {
		return Definition{}, err
	}
	def, err := Decode(text, now)
	if err != nil {
		return def, err
	}
	if listed {
		if def.DeviceIDs, err = ids(); err != nil {
			return def, err
		}
	}
	def.CopyOf = &CopyOf{JobID: rec.JobID, RunID: rec.RunID}
	return def, nil
}

// literal reports whether d's own braces go to devices as they are, and members do not replace them.
func (d *Definition) literal(members map[string]json.RawMessage) bool {
	for _, name := range []string{"cloudToDeviceMethod", "updateTwin", "steps"} {
		if _, replaced := members[name]; replaced {
			return false
		}
	}
	return !d.Placeholders && slices.ContainsFunc(d.bodies(), func(b body) bool { return template.Holds(b.raw) })
}
