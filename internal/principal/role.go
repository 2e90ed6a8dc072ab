package principal

import "slices"

// Role is an app role, under its value in the app registration
// (https://learn.microsoft.com/entra/identity-platform/howto-add-app-roles-in-apps).
type Role string

// The roles. Write and Approve include Read; neither includes the other.
const (
	Read    Role = "Jobs.Read"    // see jobs, results and the audit trail
	Write   Role = "Jobs.Write"   // create, cancel and delete jobs
	Approve Role = "Jobs.Approve" // approve what waits for a second person
)

// RoleError says that a caller lacks a role.
type RoleError struct{ Missing Role }

func (e *RoleError) Error() string { return "the caller lacks the role " + string(e.Missing) }

// Check returns a *RoleError unless the caller may do what needs a role. Where no roles are required everybody may.
func (c Caller) Check(needed Role) error {
	has := func(r Role) bool { return slices.Contains(c.Roles, string(r)) }
	if c.anyRole || has(needed) || needed == Read && (has(Write) || has(Approve)) {
		return nil
	}
	return &RoleError{Missing: needed}
}
