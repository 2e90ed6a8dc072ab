// Package devstack runs a whole fleetjobs deployment on this machine: Azurite for Table and Queue Storage, the IoT Hub
// simulator with a simulated fleet and real MQTT devices, and the packaged app (dist/app) in the local Functions host.
// Command fleetjobs and the end-to-end tests start it.
//
// It owns the order of start and stop, the wiring of one part's address into another's settings, and the building of
// dist/app when it is missing or older than its sources. The parts themselves belong to azurite, hubsim, fleetsim, devicesim
// and localhost. It knows nothing of jobs.
package devstack
