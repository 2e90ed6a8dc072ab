package localhost

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// hostVersion is what this stand-in says it is in X-Azure-Functions-HostVersion and User-Agent.
const hostVersion = "4.1037.0.0"

// maxRedirects is .NET's limit; the host follows redirects of envelope requests when forwarding is off.
const maxRedirects = 50

// invocation is one call of a function with the envelope that carries it.
type invocation struct {
	id       string
	fn       *function
	data     map[string]any
	metadata *metadata
}

// newInvocation starts an envelope with the metadata that every invocation has.
func newInvocation(fn *function, now time.Time) *invocation {
	inv := &invocation{id: uuid.NewString(), fn: fn, data: map[string]any{}, metadata: &metadata{}}
	inv.metadata.set("sys", map[string]any{
		"MethodName": fn.name,
		"UtcNow":     ticksZulu(now),
		"RandGuid":   uuid.NewString(),
	})
	return inv
}

// metadata is the envelope's Metadata: keys ignore case, and a key written again keeps its first spelling.
type metadata struct {
	keys   []string
	values []any
}

// set stores an already encoded value. Keys that end in "trigger" never reach the handler.
func (m *metadata) set(key string, value any) {
	if strings.HasSuffix(strings.ToLower(key), "trigger") {
		return
	}
	for i, existing := range m.keys {
		if strings.EqualFold(existing, key) {
			m.values[i] = value
			return
		}
	}
	m.keys = append(m.keys, key)
	m.values = append(m.values, value)
}

// setDoubled stores a scalar in the host's double encoding.
func (m *metadata) setDoubled(key string, value any) error {
	text, err := doubled(value)
	if err != nil {
		return err
	}
	m.set(key, text)
	return nil
}

// merge adds the top-level fields of a JSON object to the metadata, overwriting what is there: objects as they
// are, scalars as text in double encoding, lists and nulls not at all. A body that is no JSON object adds nothing.
func (m *metadata) merge(body string) error {
	if !json.Valid([]byte(body)) || !strings.HasPrefix(strings.TrimSpace(body), "{") {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.UseNumber()
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("reading message fields: %w", err)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return fmt.Errorf("reading message fields: %w", err)
		}
		var value any
		if err := decoder.Decode(&value); err != nil {
			return fmt.Errorf("reading message fields: %w", err)
		}
		switch value.(type) {
		case map[string]any:
			m.set(fmt.Sprint(key), value)
		case []any, nil:
		default:
			if err := m.setDoubled(fmt.Sprint(key), scalarText(value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// MarshalJSON implements json.Marshaler, keeping the order of insertion.
func (m *metadata) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, key := range m.keys {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := compactJSON(key)
		if err != nil {
			return nil, err
		}
		value, err := compactJSON(m.values[i])
		if err != nil {
			return nil, err
		}
		out.WriteString(name + ":" + value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// queueInvocation is the envelope of a queue message. A nil message stands for a run by hand with only a text.
func queueInvocation(fn *function, now time.Time, m *message, text string) (*invocation, error) {
	inv := newInvocation(fn, now)
	if fn.trigger.DataType == "binary" {
		inv.data[fn.trigger.Name] = base64.StdEncoding.EncodeToString([]byte(text))
	} else {
		value, err := doubled(text)
		if err != nil {
			return nil, err
		}
		inv.data[fn.trigger.Name] = value
	}
	if m != nil {
		if err := inv.metadata.setMessage(m); err != nil {
			return nil, err
		}
	}
	return inv, inv.metadata.merge(text)
}

func (m *metadata) setMessage(from *message) error {
	m.set("ExpirationTime", wholeSeconds(from.expires))
	m.set("InsertionTime", wholeSeconds(from.inserted))
	m.set("NextVisibleTime", wholeSeconds(from.nextVisible))
	for _, field := range []struct {
		key   string
		value any
	}{{"DequeueCount", from.dequeueCount}, {"Id", from.id}, {"PopReceipt", from.popReceipt}} {
		if err := m.setDoubled(field.key, field.value); err != nil {
			return err
		}
	}
	return nil
}

// timerInfo is Data.<name> of a timer: a JSON object, not a string.
type timerInfo struct {
	Schedule       timerSchedule
	ScheduleStatus *wireStatus
	IsPastDue      bool
}

type timerSchedule struct {
	AdjustForDST bool
}

// wireStatus is TimerInfo.ScheduleStatus.
type wireStatus struct {
	Last        string
	Next        string
	LastUpdated string
}

// timerInvocation is the envelope of a timer; status is nil for schedules that are not monitored.
func timerInvocation(fn *function, now time.Time, status *timerStatus, pastDue bool) *invocation {
	inv := newInvocation(fn, now)
	info := timerInfo{Schedule: timerSchedule{AdjustForDST: fn.schedule.adjustForDST()}, IsPastDue: pastDue}
	if status != nil {
		info.ScheduleStatus = &wireStatus{
			Last: ticks(status.Last), Next: ticks(status.Next), LastUpdated: ticks(status.LastUpdated),
		}
	}
	inv.data[fn.trigger.Name] = info
	return inv
}

// body is the envelope as JSON.
func (inv *invocation) body() ([]byte, error) {
	text, err := compactJSON(struct {
		Data     map[string]any
		Metadata *metadata
	}{inv.data, inv.metadata})
	return []byte(text), err
}

// post sends the envelope to POST /<function name>, chunked, and reads the answer.
func (inv *invocation) post(ctx context.Context, w *worker, followRedirects bool) (*answer, error) {
	body, err := inv.body()
	if err != nil {
		return nil, err
	}
	target := "http://" + w.process.address + "/" + inv.fn.name
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("building request: %w", err)
	}
	request.ContentLength = -1 // the host's content has no known length: chunked
	request.Header = http.Header{
		"X-Azure-Functions-HostVersion":  {hostVersion},
		"X-Azure-Functions-InvocationId": {inv.id},
		"User-Agent":                     {"Azure-Functions-Host/" + hostVersion},
		"Content-Type":                   {"application/json; charset=utf-8"},
	}
	activity(request.Header, "")
	client := http.Client{Transport: w.transport, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if !followRedirects || len(via) > maxRedirects {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("calling the handler: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the handler's answer: %w", err)
	}
	return readAnswer(response, content)
}
