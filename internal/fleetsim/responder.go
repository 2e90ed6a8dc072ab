package fleetsim

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

// responder is the program of a device. It implements registry.Responder.
type responder struct {
	fleet           *Fleet
	id              string
	failing, silent bool
}

// Respond implements registry.Responder. lockDoor answers with the lock time that it was given, reboot with what the device is
// about to do, every other method with "done". The status is 200, or 500 for failing devices.
func (r *responder) Respond(method string, payload []byte) registry.Answer {
	if r.silent {
		return registry.Answer{Silent: true}
	}
	answer := registry.Answer{Reply: registry.Reply{Status: http.StatusOK, Payload: result(method, payload)}}
	if r.failing {
		answer.Reply = registry.Reply{
			Status: http.StatusInternalServerError, Payload: []byte(`{"error":"the actuator does not respond","code":"E42"}`),
		}
	}
	if f := r.fleet; f.opt.Latency.Kind != latency.None {
		answer.After = f.opt.Latency.At(f.dice.At(r.id, f.calls.Add(1)))
	}
	return answer
}

func result(method string, payload []byte) []byte {
	switch method {
	case "lockDoor":
		var request struct {
			LockTime json.RawMessage `json:"lockTime"`
		}
		// A payload of another shape has no lock time.
		if err := json.Unmarshal(payload, &request); err != nil || request.LockTime == nil {
			return []byte(`{"result":"locked"}`)
		}
		return append(append([]byte(`{"result":"locked","lockTime":`), request.LockTime...), '}')
	case "reboot":
		return []byte(`{"result":"rebooting"}`)
	default:
		return []byte(`{"result":"done"}`)
	}
}

// ApplyDesired implements registry.Responder: the device does what is desired and reports it under the same names, when it has taken
// the fleet's time for that.
func (r *responder) ApplyDesired(patch map[string]any) (map[string]any, time.Duration) {
	return patch, r.fleet.opt.ApplyAfter
}
