package job

// Limits of a job's priority.
const (
	MinPriority     = 1
	MaxPriority     = 10
	DefaultPriority = 5
)

// priority reads the member of the same name, 0 for DefaultPriority.
func (o *object) priority() int {
	n := int(o.integer("priority", DefaultPriority, MinPriority, MaxPriority))
	if n == DefaultPriority {
		return 0 // as if it were absent
	}
	return n
}
