package notify

import (
	"encoding/json"
	"fmt"
	"time"
)

// Media types of the JSON event format
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md).
const (
	mediaEvent = "application/cloudevents+json; charset=utf-8"
	mediaBatch = "application/cloudevents-batch+json; charset=utf-8"
)

// typePrefix begins the type of every event.
const typePrefix = "io.fleetjobs.job."

// Event is one thing that happened to a job. The same event has the same ID however often it is sent.
type Event struct {
	ID      string          // letters, digits, - and _; no full stop, which separates the parts of the signed text
	Kind    string          // "started", "completed", "failed", "cancelled"
	Subject string          // the job's id
	Time    time.Time       // when it happened
	Data    json.RawMessage // the job as the API gives it
}

// cloudEvent is the structured form
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#required-attributes).
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject"`
	Time            string          `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`
}

// encode gives the event in structured mode; source is an absolute URI.
func (e Event) encode(source string) ([]byte, error) {
	text, err := json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: e.ID, Source: source, Type: typePrefix + e.Kind, Subject: e.Subject,
		Time: e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), DataContentType: "application/json", Data: e.Data,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding event %s: %w", e.ID, err)
	}
	return text, nil
}
