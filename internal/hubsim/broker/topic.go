package broker

import (
	"strconv"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

// The filters that a device or module may subscribe, besides messages to itself.
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

// parseTopic reads the topic of a publication by a device, or a module by its id in the registry. The request is unknownRequest if the hub has no such topic.
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
	if strings.HasPrefix(topic, "devices/"+registry.Path(deviceID)+"/messages/events") {
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

// allowedFilter reports whether a device or module may subscribe a filter. Modules get messages by their inputs; their SDKs
// subscribe everything below the module, or the inputs.
func allowedFilter(filter, deviceID string) bool {
	switch filter {
	case filterMethods, filterResults, filterDesired:
		return true
	}
	rest, ok := strings.CutPrefix(filter, "devices/"+registry.Path(deviceID)+"/")
	if strings.Contains(deviceID, "/") {
		return ok && (rest == "#" || rest == "inputs/#")
	}
	return ok && rest == "messages/devicebound/#"
}

// names reports whether a CONNECT's user name is for a client: HOST/CLIENT/?api-version=..., with or without the question mark.
// The client is DEVICE or DEVICE/MODULE.
func names(userName, clientID string) bool {
	_, rest, ok := strings.Cut(userName, "/")
	if !ok || clientID == "" {
		return false
	}
	if rest == clientID {
		return true
	}
	more, ok := strings.CutPrefix(rest, clientID+"/")
	return ok && (strings.HasPrefix(more, "?") || strings.HasPrefix(more, "api-version="))
}
