// Package registry owns the devices and modules of the IoT Hub simulator: their identities, twins and connections, and the index that
// queries read. It knows no HTTP and no MQTT; a connected device is a [Link], whatever carries it.
//
// A module is a [Device] whose id is that of its device, a slash, and its own.
//
// Every device has a lock of its own; what is read is a [View], a copy that stays as it is.
package registry
