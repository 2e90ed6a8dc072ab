package job

import "strings"

// TargetID gives the id of an execution: the device's, or "device/module" for a module. No device id holds a slash.
func TargetID(deviceID, moduleID string) string {
	if moduleID == "" {
		return deviceID
	}
	return deviceID + "/" + moduleID
}

// SplitTarget gives what TargetID was made from; moduleID is "" for a device.
func SplitTarget(id string) (deviceID, moduleID string) {
	deviceID, moduleID, _ = strings.Cut(id, "/")
	return deviceID, moduleID
}

// Target reports whether id can be that of an execution. Ids of modules have the form of those of devices
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-identity-registry#module-identity-properties).
func Target(id string) bool {
	deviceID, moduleID, module := strings.Cut(id, "/")
	return DeviceID(deviceID) && (!module || DeviceID(moduleID))
}
