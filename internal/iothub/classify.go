package iothub

import (
	"net/http"
	"strconv"
)

// applyHeader lets the iothub-errorcode header overrule what the body says: it is the one mark that all answers of the hub
// share. It holds the name of the error, or its number.
func (e *Error) applyHeader(value string) {
	if value == "" {
		return
	}
	if n, err := strconv.Atoi(value); err == nil {
		e.Number = n
		return
	}
	e.Code = clip(value)
}

// classify finds the kind of a refusal by name, then number, then HTTP status. recognised tells whether the body was an
// error of IoT Hub's at all.
func classify(e *Error, recognised bool) Kind {
	kind := kindOfName(e.Code)
	if kind == None {
		kind = kindOfNumber(e.Number)
	}
	if kind == None {
		fromHub := recognised || e.Code != "" || e.Number != 0
		kind = kindOfStatus(e.Status, fromHub)
	}
	return kindFor(e.Op, kind)
}

// kindFor corrects kinds that make sense only for some operations: a gateway's timeout is a device's silence only for a
// method, and a query concerns no device.
func kindFor(op Op, kind Kind) Kind {
	switch {
	case op != OpInvokeMethod && (kind == TimedOut || kind == Unreadable):
		return ServerError
	case op == OpQuery && (kind == NotFound || kind == Offline):
		return HubFault
	}
	return kind
}

// kindOfName knows the names of the service API's error codes that do not follow from their status; see
// "Understand and resolve Azure IoT Hub errors".
func kindOfName(name string) Kind {
	switch name {
	case "DeviceNotOnline":
		return Offline
	case "DeviceNotFound", "ModuleNotFound":
		return NotFound
	case "GatewayTimeout", "DeviceTimeout":
		return TimedOut
	case "GenericTooManyRequests", "ThrottlingException", "ThrottleBacklogLimitExceeded", "ThrottlingBacklogTimeout",
		"ThrottlingMaxActiveJobCountExceeded", "DeviceThrottlingLimitExceeded", "ServiceUnavailable":
		return Throttled
	case "IotHubUnauthorizedAccess", "IotHubQuotaExceeded", "IotHubSuspended", "IotHubNotFound", "InvalidProtocolVersion":
		return HubFault
	case "ArgumentInvalid", "ArgumentNull", "IotHubFormatError", "InvalidOperation", "MessageTooLarge",
		"DeviceMaximumQueueDepthExceeded", "PreconditionFailed":
		return Rejected
	case "ServerError":
		return ServerError
	}
	return None
}

// kindOfNumber knows the numbers of the same errors. A number starts with the status that it belongs to.
func kindOfNumber(n int) Kind {
	switch n {
	case 404103:
		return Offline
	case 404001, 404010:
		return NotFound
	case 504101:
		return TimedOut
	case 502101:
		return Unreadable
	case 400001, 400020, 401002, 401003, 403002:
		return HubFault
	case 403004:
		return Rejected
	}
	switch n / 1000 {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return Throttled
	}
	return None
}

// kindOfStatus is the last resort. A 404 that is no error of IoT Hub's is the answer of something else at that address.
func kindOfStatus(status int, fromHub bool) Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return HubFault
	case http.StatusNotFound:
		if fromHub {
			return NotFound
		}
		return HubFault
	case http.StatusRequestTimeout:
		return ServerError
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return Throttled
	case http.StatusGatewayTimeout:
		return TimedOut
	}
	switch {
	case status >= 500:
		return ServerError
	case status >= 400:
		return Rejected
	}
	return HubFault // a redirect: something else than the hub answers at that address
}
