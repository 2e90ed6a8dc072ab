// Package twinquery owns the IoT Hub query language: parsing, printing and evaluating the SELECT statements that IoT Hub
// runs over device twins, module twins and job rows, and the bare conditions that its jobs use to choose devices.
//
// The package is pure: it reads no clock, no network and no files. It does not store twins, does not page and does not know
// HTTP; callers bring documents and decide what to do with the rows.
//
// The documented language ("Reference - IoT Hub query language for device and module twins, jobs, and message routing",
// https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-query-language) is incomplete: a real hub accepts more than it
// says. The parser therefore refuses only what cannot be a query and what is known to fail. What it can read but does not
// know, it accepts and lists as [Unknown]; only the hub can decide on those.
//
// Rules that the documentation leaves open are marked as guesses where they are implemented. Those that change which
// devices match can be switched with [Options].
package twinquery
