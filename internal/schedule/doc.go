// Package schedule owns when a job runs: recurrences (cron, interval, list of times) in time zones, maintenance windows, and
// what happens to an occurrence that meets a running run, a pause or an outage. docs/schedules.md has its rules for users.
//
// One rule maps a wall time to an instant: an occurrence at wall time c runs at the first instant at which the zone's clock
// shows c or later. So a time that a zone skips runs right after the gap, a repeated one runs once, and instants never go
// back.
//
// It is pure: no I/O of its own, no clock (callers pass now), no storage. Starting runs is dispatch's, the rest of a job's
// definition is job's.
package schedule
