// Package twin owns what a device twin of the IoT Hub simulator holds: tags, desired and reported properties with their
// metadata and versions, how patches change them, their limits, and their JSON. It knows no devices, no HTTP and no clock.
//
// Twins are values: a change makes a new one and shares what did not change, so that readers need no lock.
//
// The rules are those of "Understand and use device twins in IoT Hub"
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins).
package twin
