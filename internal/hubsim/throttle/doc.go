// Package throttle owns the meters of the IoT Hub simulator: how much of each operation a tier allows, what a burst may take
// at once, which calls are delayed and which are refused, and the messages of a day. It is pure: callers bring the time, wait
// the delays and word the refusals.
//
// The figures are those of "IoT Hub quotas and throttling"
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-quotas-throttling). The page gives rates, says that they are
// applied in minute ranges, and describes traffic shaping: a burst is served at once for the first minute or two, then requests
// are queued and served at the rate, and when the queue is full they are refused with 429. It gives no size for burst and
// queue; the defaults here are a minute's allowance and ten seconds of delay, both guesses.
package throttle
