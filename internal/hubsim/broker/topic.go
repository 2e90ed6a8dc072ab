package broker

import (
	"strconv"
	"strings"
)

// The filters that a device may subscribe, besides its own devicebound messages.
const (
	filterMethods = "$iothub/methods/POST/#"
	filterResults = "$iothub/twin/res/#"
	filterDesired = "$iothub/twin/PATCH/properties/desired/#"
)

// request is what a device's publication asks for.
type request uint8

const (
	unknownRequest request = iota
	methodAnswer
	twinGet
	twinReport
	telemetry
)

// message is a parsed topic of a device's publication.
type message struct {
	request request
	rid     string // as the device wrote it; comes back verbatim
	status  int    // of a method's answer
}

// parseTopic reads the topic of a publication by a device. The request is unknownRequest if the hub has no such topic.
func parseTopic(topic, deviceID string) message {
	if rest, ok := strings.CutPrefix(topic, "$iothub/methods/res/"); ok {
		number, query, ok := strings.Cut(rest, "/?")
		status, err := strconv.Atoi(number)
		rid := parameter(query, "$rid")
		if !ok || err != nil || rid == "" {
			return message{}
		}
		return message{request: methodAnswer, rid: rid, status: status}
	}
	if query, ok := strings.CutPrefix(topic, "$iothub/twin/GET/?"); ok {
		return twinRequest(twinGet, query)
	}
	if query, ok := strings.CutPrefix(topic, "$iothub/twin/PATCH/properties/reported/?"); ok {
		return twinRequest(twinReport, query)
	}
	if strings.HasPrefix(topic, "devices/"+deviceID+"/messages/events") {
		return message{request: telemetry}
	}
	return message{}
}

func twinRequest(kind request, query string) message {
	rid := parameter(query, "$rid")
	if rid == "" {
		return message{}
	}
	return message{request: kind, rid: rid}
}

// parameter returns a parameter of a topic's query, not unescaped.
func parameter(query, name string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if key, value, ok := strings.Cut(pair, "="); ok && key == name {
			return value
		}
	}
	return ""
}

// allowedFilter reports whether a device may subscribe a filter.
func allowedFilter(filter, deviceID string) bool {
	switch filter {
	case filterMethods, filterResults, filterDesired, "devices/" + deviceID + "/messages/devicebound/#":
		return true
	}
	return false
}

// userName returns the device that a CONNECT's user name is for: HOST/DEVICE/?api-version=..., with or without the question mark.
func userName(text string) (deviceID string, ok bool) {
	_, rest, ok := strings.Cut(text, "/")
	if !ok {
		return "", false
	}
	deviceID, _, _ = strings.Cut(rest, "/")
	return deviceID, deviceID != ""
}
