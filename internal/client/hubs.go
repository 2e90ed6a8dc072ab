package client

import "encoding/json"

// Hubs are the names of the hubs where a job works; "all" alone is every one. None is the default hub.
type Hubs []string

// MarshalJSON implements [json.Marshaler].
func (h Hubs) MarshalJSON() ([]byte, error) {
	if len(h) == 1 && h[0] == "all" {
		return json.Marshal(h[0])
	}
	return json.Marshal([]string(h))
}

// HubRun is what a job with hubs does at one of them.
type HubRun struct {
	Hub        string     `json:"hub"`
	RunID      string     `json:"runId"`
	Status     string     `json:"status"`
	Statistics Statistics `json:"deviceJobStatistics"`
	// Waiting is the batch that is next there and has not begun, nil where none is.
	Waiting *BatchStatus `json:"waitingBatch"`

	// Raw is the JSON that the service sent.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON implements [json.Unmarshaler]; it keeps the text as Raw.
func (h *HubRun) UnmarshalJSON(text []byte) error {
	type plain HubRun
	if err := json.Unmarshal(text, (*plain)(h)); err != nil {
		return err
	}
	h.Raw = append(json.RawMessage(nil), text...)
	return nil
}

// NamedHubHealth is the state of one of several hubs.
type NamedHubHealth struct {
	HubHealth
	Hub string `json:"hub"`
}
