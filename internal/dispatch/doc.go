// Package dispatch carries runs out: it starts what is due, selects devices, hands shards to workers, calls devices, and
// moves every run to its end.
//
// It owns the messages between the functions and who may write which row when; docs/architecture.md tells the story. It
// does not own the rules of states and counts (package job), the layout of storage (tablestore), the wire to the hub
// (iothub) or to the Functions host (customhandler). Every worker may die between any two lines: what it leaves is found
// through the rows and continued.
package dispatch
