// Package jobsim owns the IoT Hub simulator's own engine for scheduled jobs (jobs/v2): when a job starts, at what pace it works
// through its devices, what it says of itself and of each device meanwhile. It knows no HTTP and no devices: a [Fleet] chooses
// and calls them.
//
// It does what IoT Hub documents ("Schedule jobs on multiple devices",
// https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-jobs) and what has been seen of it: the set of devices is fixed when
// a job starts, a job is completed even if devices failed, a running job cannot be cancelled
// (https://github.com/Azure/azure-iot-sdk-node/issues/464). What is a guess says so.
package jobsim
