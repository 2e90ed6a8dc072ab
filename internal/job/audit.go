package job

import "time"

// PrincipalKind says by what a caller was told from others.
type PrincipalKind string

// The kinds of principals.
const (
	PrincipalIdentity  PrincipalKind = "identity"  // the platform signed a person or an application in
	PrincipalKey       PrincipalKind = "key"       // nothing is known but the access key
	PrincipalAnonymous PrincipalKind = "anonymous" // not even a key, as on a local host
)

// Principal is who asked for something, as far as that is known. It holds no secret.
type Principal struct {
	Kind     PrincipalKind `json:"kind"`
	ID       string        `json:"id,omitempty"`       // of the identity, or a short hash of the key
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
	ActionCreated   Action = "created"
	ActionCancelled Action = "cancelled"
	ActionDeleted   Action = "deleted"
)

// Actions lists the actions.
func Actions() []Action { return []Action{ActionCreated, ActionCancelled, ActionDeleted} }

// Change is one entry of the audit trail: who did what to which job, and when. At, RunID and Action tell it from every other.
type Change struct {
	At        time.Time
	Action    Action
	JobID     string
	RunID     string
	From      Status `json:",omitempty"` // of the job before, "" when it did not exist
	To        Status `json:",omitempty"` // of the job after, "" when it does not exist any more
	By        Principal
	UserAgent string `json:",omitempty"`
}

// Change gives the entry for what by does to the job at a time, without From and To.
func (r *Record) Change(action Action, by Caller, at time.Time) Change {
	return Change{At: at, Action: action, JobID: r.JobID, RunID: r.RunID, By: by.Principal, UserAgent: by.UserAgent}
}
