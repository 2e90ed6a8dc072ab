package job

import "time"

// PrincipalKind says by what a caller was told from others.
type PrincipalKind string

// The kinds of principals.
const (
	PrincipalIdentity  PrincipalKind = "identity"  // the platform signed a person or an application in
	PrincipalKey       PrincipalKind = "key"       // nothing is known but the access key
	PrincipalPolicy    PrincipalKind = "policy"    // a shared access policy signed
	PrincipalAnonymous PrincipalKind = "anonymous" // not even a key, as on a local host
	PrincipalRetention PrincipalKind = "retention" // nobody: the deployment's settings ask for it
)

// Principal is who asked for something, as far as that is known. It holds no secret.
type Principal struct {
	Kind     PrincipalKind `json:"kind"`
	ID       string        `json:"id,omitempty"`       // of the identity, a short hash of the key, or the policy's name
	Name     string        `json:"name,omitempty"`     // of the identity, for people to read
	Provider string        `json:"provider,omitempty"` // that vouches for the identity, such as "aad"
}

// Caller is a principal at work.
type Caller struct {
	Principal
	UserAgent string // of the program that was used, cut
}

// Action is what a caller did to a job.
type Action string

// The actions.
const (
	ActionCreated    Action = "created"
	ActionPaused     Action = "paused"
	ActionResumed    Action = "resumed"
	ActionEdited     Action = "edited"
	ActionApproved   Action = "approved" // a batch
	ActionAdvanced   Action = "advanced" // to the next batch
	ActionRunNow     Action = "runNow"
	ActionBackfilled Action = "backfilled"
	ActionCancelled  Action = "cancelled"
	ActionDeleted    Action = "deleted"
	ActionExpired    Action = "expired" // deleted because its retention has passed

	ActionTemplateStored  Action = "templateStored"
	ActionTemplateDeleted Action = "templateDeleted"
)

// Actions lists the actions.
func Actions() []Action {
	return []Action{
		ActionCreated, ActionPaused, ActionResumed, ActionEdited, ActionApproved, ActionAdvanced, ActionRunNow, ActionBackfilled, ActionCancelled, ActionDeleted,
		ActionExpired,
		ActionTemplateStored, ActionTemplateDeleted,
	}
}

// Change is one entry of the audit trail: who did what to which job, and when. At, RunID and Action tell it from every other.
type Change struct {
	At     time.Time
	Action Action
	JobID  string
	RunID  string // of a template its Key
	// TemplateID is the template that was changed, and Version its version then; an entry about one has no JobID.
	TemplateID string `json:",omitempty"`
	Version    int    `json:",omitempty"`
	From       Status `json:",omitempty"` // of the job before, "" when it did not exist
	To         Status `json:",omitempty"` // of the job after, "" when it does not exist any more
	By         Principal
	UserAgent  string `json:",omitempty"`
	Note       string `json:",omitempty"` // that By gave
}

// Change gives the entry for what by does to the job at a time, without From and To.
func (r *Record) Change(action Action, by Caller, at time.Time) Change {
	return Change{At: at, Action: action, JobID: r.JobID, RunID: r.RunID, By: by.Principal, UserAgent: by.UserAgent}
}

// keptEntries is how many entries a run holds for its job: more than anybody makes before the job has taken them over.
const keptEntries = 8

// Enter adds an entry to the run, for the job to take over.
func (r *Run) Enter(c Change) {
	r.Trail = append(r.Trail, c)
	r.Trail = r.Trail[max(0, len(r.Trail)-keptEntries):]
	r.Noted++
}

// Told is how many entries of which run a job has taken over.
type Told struct {
	RunID string
	Count int
}

// Untold gives the run's entries that the job has not taken over. Taking one over twice is harmless.
func (r *Record) Untold(run *Run) []Change {
	n := run.Noted
	if r.Told.RunID == run.ID {
		n -= r.Told.Count
	}
	return run.Trail[len(run.Trail)-min(max(n, 0), len(run.Trail)):]
}

// Change gives the entry for what by does to the template at a time.
func (t *Template) Change(action Action, by Caller, at time.Time) Change {
	return Change{At: at, Action: action, TemplateID: t.ID, Version: t.Version, RunID: t.Key, By: by.Principal, UserAgent: by.UserAgent}
}
