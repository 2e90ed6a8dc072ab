package job

import "errors"

// What a store says of a record. Stores wrap these; callers use errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	// ErrConflict says that the record was changed since it was read: read it again and decide anew.
	ErrConflict = errors.New("changed by another writer")
)
