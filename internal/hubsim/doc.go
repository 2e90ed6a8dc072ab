// Package hubsim is an IoT Hub for tests, demonstrations and development: the service's REST API over HTTPS (identity
// registry, device twins, direct methods, device queries, scheduled jobs) and the devices' MQTT 3.1.1 over TLS. It shares no
// code with the clients that are tested against it; only the query language comes from internal/twinquery.
//
// It owns the wire: routes, authorization, error envelopes, paging. Devices and twins belong to the package registry below it,
// tokens to sas, the broker to broker, the allowances of the tiers to throttle, scheduled jobs to jobsim, the clock to simclock,
// and what goes wrong on purpose to fault. Messages and configurations are not simulated. Modules have identities, twins, methods,
// queries, jobs and MQTT connections of their own; one that is created on a device inside the simulator is connected and answers as
// its device does. What Edge does besides is not simulated.
//
// Sources are Microsoft's documentation of IoT Hub (https://learn.microsoft.com/azure/iot-hub/) and what users of the real
// service have published of its answers. Where neither says anything the code says "a guess", and where a guess matters
// [Options] has a switch.
//
// # Control
//
// Programs outside the process reach the simulator's own switches on the HTTPS port with any service token:
//
//	GET  /$sim/stats                     counters: [Stats]
//	GET  /$sim/faults                    the fault plan: [fault.Plan]
//	PUT  /$sim/faults                    replaces the fault plan; 400 with {"error": "..."} if it is not valid
//	GET  /$sim/calls                     {"enabled":true,"total":3,"methods":{"dev-1":2},"updates":{"dev-1":1}}: what reached
//	                                     each device, by the journal; ?entries=true adds "entries", every [Call] in order
//	POST /$sim/devices/{id}/online       connects a device that lives inside the simulator
//	POST /$sim/devices/{id}/offline      disconnects it
//	POST /$sim/reset                     clears counters and journal, restores the fault plan that the simulator started with
//
// These never fail on purpose and are not counted.
package hubsim
