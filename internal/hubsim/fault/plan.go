// Package fault owns the fault plan of the IoT Hub simulator: what goes wrong, how often, and for which devices. It decides
// and does not act; the simulator carries the decisions out.
//
// Everything is repeatable. Whether a device is offline depends on the plan's seed and the device's id only, so that tests can
// compute what to expect. Shares of requests depend on the seed and on how many requests of that kind came before.
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

// Operation is a kind of service request that faults are planned for.
type Operation string

// The operations.
const (
	Methods    Operation = "methods"    // direct methods
	TwinRead   Operation = "twinRead"   // GET of a twin
	TwinUpdate Operation = "twinUpdate" // PATCH and PUT of a twin
	Query      Operation = "query"      // device queries
	Registry   Operation = "registry"   // everything under /devices and /statistics
	Jobs       Operation = "jobs"       // everything under /jobs/v2
)

// Operations lists all operations.
func Operations() []Operation {
	return []Operation{Methods, TwinRead, TwinUpdate, Query, Registry, Jobs}
}

// Plan is a fault plan. The zero value is a hub without faults. Shares lie in [0, 1].
type Plan struct {
	// Seed makes another plan of the same kind: other devices, other requests.
	Seed uint64 `json:"seed,omitempty"`
	// Revoked answers every service request 401 IotHubUnauthorizedAccess, as after the loss of a role or a key.
	Revoked bool `json:"revoked,omitempty"`
	// QuotaExceeded answers every service request 403 IotHubQuotaExceeded (403002): the day's messages are spent.
	QuotaExceeded bool `json:"quotaExceeded,omitempty"`
	// Suspended answers every service request 400 IotHubSuspended (400020).
	Suspended bool `json:"suspended,omitempty"`
	// Offline are devices that are not connected, whatever they do.
	Offline Devices `json:"offline,omitzero"`
	// Operations are the faults of single operations.
	Operations map[Operation]Rule `json:"operations,omitempty"`
	// Paging are the faults of query pages.
	Paging Paging `json:"paging,omitzero"`
}

// Devices chooses devices: those listed and a share of all.
type Devices struct {
	Share float64  `json:"share,omitempty"`
	IDs   []string `json:"ids,omitempty"`
}

// Rule are the faults of one operation. At most one of throttling, error and drop befalls a request.
type Rule struct {
	// Latency is added to every request before it is carried out.
	Latency latency.Distribution `json:"latency,omitzero"`
	// ThrottleShare of the requests are answered 429 and not carried out.
	ThrottleShare float64 `json:"throttleShare,omitempty"`
	// WaitSeconds is the wait that the text of a 429 names ("Wait N seconds and try again"); default 10.
	WaitSeconds int `json:"waitSeconds,omitempty"`
	// RetryAfterSeconds, if not 0, is sent as the header Retry-After of a 429. IoT Hub has not been seen to send one.
	RetryAfterSeconds int `json:"retryAfterSeconds,omitempty"`
	// ErrorShare of the requests are answered ErrorStatus, without being carried out unless ErrorAfter is set.
	ErrorShare float64 `json:"errorShare,omitempty"`
	// ErrorStatus is 500 (default) or 503.
	ErrorStatus int `json:"errorStatus,omitempty"`
	// ErrorAfter carries the request out before the error is answered.
	ErrorAfter bool `json:"errorAfter,omitempty"`
	// DropBeforeShare of the connections are closed before the request is carried out.
	DropBeforeShare float64 `json:"dropBeforeShare,omitempty"`
	// DropAfterShare of the connections are closed after the request was carried out: the answer is lost.
	DropAfterShare float64 `json:"dropAfterShare,omitempty"`
	// Devices, if not empty, limits throttling, errors and drops to requests for these devices.
	Devices []string `json:"devices,omitempty"`
	// Limit, if not 0, is the number of faults (latency apart) after which the rule does nothing more.
	Limit int64 `json:"limit,omitempty"`
}

// Paging are the faults of query pages. A real hub may do each of these: its index is eventually consistent, page sizes are
// the service's choice, and continuation tokens expire.
type Paging struct {
	// LostTokenShare of the requests with a continuation token are answered 400.
	LostTokenShare float64 `json:"lostTokenShare,omitempty"`
	// RepeatShare of the pages begin with the last device of the page before.
	RepeatShare float64 `json:"repeatShare,omitempty"`
	// ShortShare of the pages hold fewer rows than asked for, though more follow.
	ShortShare float64 `json:"shortShare,omitempty"`
	// EmptyShare of the pages hold no rows at all, though more follow.
	EmptyShare float64 `json:"emptyShare,omitempty"`
}

// Validate reports everything that is wrong with the plan.
func (p Plan) Validate() error {
	faults := []error{
		share("offline.share", p.Offline.Share),
		share("paging.lostTokenShare", p.Paging.LostTokenShare),
		share("paging.repeatShare", p.Paging.RepeatShare),
		share("paging.shortShare+emptyShare", p.Paging.ShortShare, p.Paging.EmptyShare),
	}
	for op, rule := range p.Operations {
		if !slices.Contains(Operations(), op) {
			faults = append(faults, fmt.Errorf("operations: unknown operation %q; want one of %v", op, Operations()))
		}
		faults = append(faults, rule.validate("operations."+string(op)))
	}
	return errors.Join(faults...)
}

func (r Rule) validate(name string) error {
	faults := []error{
		share(name+": the sum of the shares", r.ThrottleShare, r.ErrorShare, r.DropBeforeShare, r.DropAfterShare),
	}
	switch r.ErrorStatus {
	case 0, http.StatusInternalServerError, http.StatusServiceUnavailable:
	default:
		faults = append(faults, fmt.Errorf("%s.errorStatus: %d; want 500 or 503", name, r.ErrorStatus))
	}
	if r.WaitSeconds < 0 || r.RetryAfterSeconds < 0 || r.Limit < 0 {
		faults = append(faults, fmt.Errorf("%s: waitSeconds, retryAfterSeconds and limit must not be negative", name))
	}
	return errors.Join(faults...)
}

func share(name string, values ...float64) error {
	sum := 0.0
	for _, v := range values {
		if !(v >= 0) {
			return fmt.Errorf("%s: %v is not a share from 0 to 1", name, v)
		}
		sum += v
	}
	if sum > 1+1e-9 {
		return fmt.Errorf("%s: %v is not a share from 0 to 1", name, sum)
	}
	return nil
}
