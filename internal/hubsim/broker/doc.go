// Package broker owns the device side of the IoT Hub simulator over MQTT 3.1.1 on TLS: who may connect, the topics of direct
// methods and twins, and the connections as links of the registry's devices. Twins and identities are the registry's.
//
// The wire is that of "Communicate with IoT Hub using the MQTT protocol"
// (https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub). The protocol engine is mochi-mqtt, used by hooks only.
// Answers go to one connection directly and at QoS 0, never through mochi's topic tree, where all devices subscribe the same
// filters.
package broker
