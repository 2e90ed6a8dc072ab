// Package localhost runs a packaged Azure Functions app (host.json, one folder per function, a custom handler
// executable) on a developer's machine, as the Azure Functions host would.
//
// It owns everything that the real host does around a custom handler for HTTP, timer and queue triggers: starting,
// watching and killing the process; the requests that the handler gets and the reading of its answers; routing and
// keys; schedules; the queue listener with leases, retries and poison queues. It reproduces the host's surprises on
// purpose (double-encoded payloads, answers that hang an invocation, SIGKILL without notice), because code that
// survives them here survives them in Azure. Where the real host would skip a broken function with a log line,
// Start fails: a stand-in should be loud.
//
// It does not own the platform around the host: no scale controller, no 230 s load balancer limit, no EasyAuth, no
// blob storage for keys and leases, no Application Insights. It knows nothing of fleetjobs.
//
// The contract is described at https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers; where
// that page and the open source of Azure/azure-functions-host differ, this package follows the source.
package localhost
