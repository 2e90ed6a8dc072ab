// Package client talks to the HTTP API of a fleetjobs deployment: it creates, reads, cancels and deletes jobs.
//
// It owns the requests, the retries that a caller should not have to think about, and errors that can be shown to a
// person. It does not own flags, files or the printing of answers (package cli), nor the rules of a valid job: the
// service is their only judge, so that an older client works against a newer service.
package client
