// Package customhandler speaks the Azure Functions custom handler protocol: it
// listens where the host tells it to, tells an invocation of a timer or queue
// function ("POST /<FunctionName>" with a JSON envelope) from an HTTP request
// that the host hands through unchanged ("/api/..."), and answers in the one
// form that the host takes for success.
//
// It owns the wire: paths, envelopes, answers, panics, invocation ids and the
// server's timeouts. It does not know what a function does, what a queue
// message means, or how the HTTP API routes below its prefixes. It never
// writes output bindings: a function that has something to send sends it
// itself, so that a lost answer loses nothing.
//
// The protocol is described at
// https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers;
// where that page and a running host differ (queue messages are encoded
// twice, an empty 200 never completes), this package takes both forms and
// gives the answer that works.
package customhandler
