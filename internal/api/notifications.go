package api

import (
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// deliveryView is a job.Delivery in JSON.
type deliveryView struct {
	Event           job.EventKind     `json:"event"`
	Channel         job.Channel       `json:"channel"`
	State           job.DeliveryState `json:"state"`
	Attempts        int               `json:"attempts"`
	LastAttemptTime instant           `json:"lastAttemptTime,omitzero"`
	NextAttemptTime instant           `json:"nextAttemptTime,omitzero"`
	LastError       string            `json:"lastError,omitempty"`
	LastErrorStatus int               `json:"lastErrorStatus,omitempty"`
}

func deliveryViews(all []job.Delivery) []deliveryView {
	views := make([]deliveryView, len(all))
	for i, d := range all {
		views[i] = deliveryView{
			Event: d.Event, Channel: d.Channel, State: d.State, Attempts: d.Attempts, LastAttemptTime: instant(d.At),
			NextAttemptTime: instant(d.NextAt), LastError: d.LastError, LastErrorStatus: d.LastStatus,
		}
	}
	return views
}

// JobJSON gives a job as GET does, without its deliveries: it is the data of events. run is nil, or as Reader gives it.
func JobJSON(rec *job.Record, run *job.Run) ([]byte, error) {
	v := stateOf(rec, run).view()
	v.Deliveries = nil
	body, err := encode(v)
	if err != nil {
		return nil, fmt.Errorf("showing job %s: %w", rec.JobID, err)
	}
	return body, nil
}
