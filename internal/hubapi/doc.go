// Package hubapi serves the routes of an IoT hub's service API that make fleetjobs a drop-in for its scheduled jobs: jobs/v2,
// queries over devices.jobs and, where that is wanted, everything else of the hub, passed through
// (https://learn.microsoft.com/rest/api/iothub/service/jobs).
//
// It owns that wire format: paths, bodies, words for states, times, paging headers, error envelopes, and what is passed
// through under which permission. It does not own who calls (package hubauth), what a valid job is (job), what happens to it
// (dispatch), nor the native API (api). Where a hub refuses what fleetjobs can do, such as to cancel a job that runs, it
// answers as the hub would if it could.
package hubapi
