// Package api serves the native HTTP API of fleetjobs, everything below /api/: creating, reading, cancelling and deleting
// jobs, their executions as JSON and CSV, and openapi.yaml, which is its reference for users.
//
// It owns the wire: paths, parameters, bodies, problem+json (RFC 9457), conditional requests, paging and links. It does not
// own what a valid job is (package job), what happens to it (dispatch), where it is kept (tablestore), nor access keys,
// which the Functions host checks before a request gets here.
//
// It never redirects, and takes nothing but the path, the query and named headers from a request: behind the host's proxy
// the Host header is 127.0.0.1.
package api
