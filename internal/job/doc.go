// Package job owns the vocabulary of fleetjobs: the job that a user asks for, its run, the executions of the run (one
// device each) and the rules that hold for them: what a valid job is, which state follows which, and how counts add up.
//
// It is pure: no I/O, no clock (callers pass now), no storage format, no HTTP. Storage lives in tablestore, the carrying
// out in dispatch, the wire protocol in api.
package job
