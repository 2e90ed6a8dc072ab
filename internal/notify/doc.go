// Package notify tells others what became of a job: it owns the CloudEvents 1.0 bodies, their signature, the rules of which
// addresses may be called, when a failed delivery is tried again, and the sending to callback URLs and to an Event Grid
// topic.
//
// It does not own what is told and to whom (package job), nor that nothing which is owed gets lost (package dispatch).
// Everything but sender.go and dial.go is pure. No address with its query, and no key, is ever part of an error.
package notify
