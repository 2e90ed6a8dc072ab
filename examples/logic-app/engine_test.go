package logicapp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// action is one step as the definition has it
// (https://learn.microsoft.com/azure/logic-apps/logic-apps-workflow-actions-triggers).
type action struct {
	Type       string              `json:"type"`
	Inputs     json.RawMessage     `json:"inputs"`
	RunAfter   map[string][]string `json:"runAfter"`
	Expression json.RawMessage     `json:"expression"`
	Actions    map[string]*action  `json:"actions"`
	Else       branch              `json:"else"`
	Default    branch              `json:"default"`
	Cases      map[string]struct {
		Case    string             `json:"case"`
		Actions map[string]*action `json:"actions"`
	} `json:"cases"`
	Limit struct {
		Timeout string `json:"timeout"`
	} `json:"limit"`
	RuntimeConfiguration struct {
		SecureData struct {
			Properties []string `json:"properties"`
		} `json:"secureData"`
	} `json:"runtimeConfiguration"`
}

type branch struct {
	Actions map[string]*action `json:"actions"`
}

type call struct {
	Method  string            `json:"method"`
	URI     string            `json:"uri"`
	Queries map[string]string `json:"queries"`
	Headers map[string]string `json:"headers"`
	Body    any               `json:"body"`
}

// engine runs a definition as Logic Apps documents it, as far as the examples go.
type engine struct {
	scope
	pause func(time.Duration)                      // waits as long as a Retry-After says
	check func(r *http.Request, body []byte) error // judges each request
	ran   []string                                 // names of the actions that ran
	calls []string                                 // method and path of each request
}

// terminated ends a run early.
type terminated struct{ Status, Code, Message string }

func (t terminated) Error() string { return t.Status + " " + t.Code + " " + t.Message }

// run executes the actions of one level, each when those that it names have run.
func (e *engine) run(ctx context.Context, actions map[string]*action) error {
	done := map[string]bool{}
	for len(done) < len(actions) {
		ready := ""
		for name, a := range actions {
			if !done[name] && !slices.ContainsFunc(keys(a.RunAfter), func(before string) bool { return !done[before] }) {
				ready = name
			}
		}
		if ready == "" {
			return errors.New("runAfter goes in a circle or names what does not exist")
		}
		done[ready] = true
		e.ran = append(e.ran, ready)
		body, err := e.act(ctx, actions[ready])
		if err != nil {
			return fmt.Errorf("%s: %w", ready, err)
		}
		e.bodies[ready] = body
	}
	return nil
}

func (e *engine) act(ctx context.Context, a *action) (any, error) {
	switch a.Type {
	case "Http":
		var request call
		if err := e.inputs(a.Inputs, &request); err != nil {
			return nil, err
		}
		return e.http(ctx, request)
	case "HttpWebhook":
		return e.webhook(ctx, a)
	case "Compose":
		var value any
		err := e.inputs(a.Inputs, &value)
		return value, err
	case "If":
		yes, err := e.condition(a.Expression)
		if err != nil {
			return nil, err
		}
		if yes {
			return nil, e.run(ctx, a.Actions)
		}
		return nil, e.run(ctx, a.Else.Actions)
	case "Switch":
		var on any
		if err := e.inputs(a.Expression, &on); err != nil {
			return nil, err
		}
		for _, c := range a.Cases {
			if c.Case == on {
				return nil, e.run(ctx, c.Actions)
			}
		}
		return nil, e.run(ctx, a.Default.Actions)
	case "Terminate":
		var in struct {
			RunStatus string                         `json:"runStatus"`
			RunError  struct{ Code, Message string } `json:"runError"`
		}
		if err := e.inputs(a.Inputs, &in); err != nil {
			return nil, err
		}
		return nil, terminated{in.RunStatus, in.RunError.Code, in.RunError.Message}
	default:
		return nil, fmt.Errorf("actions of type %s are not known", a.Type)
	}
}

// inputs evaluates the expressions in raw and gives the result as out.
func (e *engine) inputs(raw json.RawMessage, out any) error {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return err
	}
	value, err := e.resolve(value)
	if err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// condition knows {"and": [{"equals": [a, b]}]}.
func (e *engine) condition(raw json.RawMessage) (bool, error) {
	var in struct {
		And []struct {
			Equals []any `json:"equals"`
		} `json:"and"`
	}
	if err := e.inputs(raw, &in); err != nil {
		return false, err
	}
	for _, c := range in.And {
		if len(c.Equals) != 2 {
			return false, errors.New("only equals of two values is known")
		}
		if c.Equals[0] != c.Equals[1] {
			return false, nil
		}
	}
	return len(in.And) > 0, nil
}

// http is the HTTP action with its asynchronous pattern: after a 202 it asks the Location, without the headers of the first
// request, until the answer is another.
func (e *engine) http(ctx context.Context, in call) (any, error) {
	for {
		resp, body, err := e.send(ctx, in)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusAccepted {
			return body, nil
		}
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			return nil, fmt.Errorf("read Retry-After: %w", err)
		}
		in = call{Method: http.MethodGet, URI: resp.Header.Get("Location")}
		e.pause(time.Duration(seconds) * time.Second)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// webhook subscribes with a callback address, and its body is what is sent there. A run that is cancelled unsubscribes.
func (e *engine) webhook(ctx context.Context, a *action) (any, error) {
	received := make(chan any, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body any
		if json.NewDecoder(r.Body).Decode(&body) == nil {
			select {
			case received <- body:
			default: // delivered again
			}
		}
	}))
	defer server.Close()
	e.callback = server.URL + "/workflows/run/actions?sig=secret"
	defer func() { e.callback = "" }()
	var in struct {
		Subscribe   call `json:"subscribe"`
		Unsubscribe call `json:"unsubscribe"`
	}
	if err := e.inputs(a.Inputs, &in); err != nil {
		return nil, err
	}
	if _, _, err := e.send(context.WithoutCancel(ctx), in.Subscribe); err != nil { // a cancel comes after it
		return nil, err
	}
	select {
	case body := <-received:
		return body, nil
	case <-ctx.Done():
		_, _, err := e.send(context.WithoutCancel(ctx), in.Unsubscribe)
		return nil, errors.Join(ctx.Err(), err)
	}
}

func (e *engine) send(ctx context.Context, in call) (*http.Response, any, error) {
	address, err := url.Parse(in.URI)
	if err != nil {
		return nil, nil, err
	}
	query := address.Query()
	for name, value := range in.Queries {
		query.Set(name, value)
	}
	address.RawQuery = query.Encode()
	var text []byte
	if in.Body != nil {
		if text, err = json.Marshal(in.Body); err != nil {
			return nil, nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, in.Method, address.String(), bytes.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	if in.Body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range in.Headers {
		request.Header.Set(name, value)
	}
	e.calls = append(e.calls, in.Method+" "+address.Path)
	if err := e.check(request, text); err != nil {
		return nil, nil, fmt.Errorf("the request does not fit openapi.yaml: %w", err)
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s %s answers %d %s", in.Method, address.Path, resp.StatusCode, answer)
	}
	if err != nil {
		return nil, nil, err
	}
	var body any
	err = json.Unmarshal(answer, &body)
	return resp, body, err
}

func keys[V any](in map[string]V) []string {
	var out []string
	for name := range in {
		out = append(out, name)
	}
	return out
}
