package iothub

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

// program is a device of the simulator: it echoes payloads, sends text that is not JSON, or keeps silent.
type program struct{}

func (program) Respond(method string, payload []byte) registry.Answer {
	switch method {
	case "silent":
		return registry.Answer{Silent: true}
	case "garbage":
		return registry.Answer{Reply: registry.Reply{Status: 200, Payload: []byte("not json")}}
	}
	return registry.Answer{Reply: registry.Reply{Status: 299, Payload: payload}}
}

func (program) ApplyDesired(map[string]any) (map[string]any, time.Duration) { return nil, 0 }

// simulator starts a hub with the given devices and a client for it.
func simulator(t *testing.T, opts hubsim.Options) (*hubsim.Server, *Client) {
	t.Helper()
	server, err := hubsim.Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	return server, newClient(t, Options{ConnectionString: server.ConnectionString(), CAFile: server.CAFile()})
}

func devices(ids ...string) hubsim.Devices {
	var fleet hubsim.Devices
	for _, id := range ids {
		fleet = append(fleet, registry.Preset{ID: id, Responder: program{}})
	}
	return fleet
}

func TestSimulatorMethods(t *testing.T) {
	t.Parallel()
	fleet := append(devices("d1", "100%#?;d"), registry.Preset{ID: "away", Responder: program{}, Offline: true})
	server, c := simulator(t, hubsim.Options{Fleet: fleet, Journal: true})

	for _, id := range []string{"d1", "100%#?;d"} {
		for _, payload := range []string{`{"a":[1,null]}`, `"text"`, `7`, `[]`, `null`} {
			m, err := NewMethod("echo", json.RawMessage(payload), MinResponseTimeout, 0)
			require.NoError(t, err)
			got, err := c.InvokeMethod(context.Background(), id, m)
			require.NoError(t, err)
			require.Equal(t, MethodResult{Status: 299, Payload: json.RawMessage(payload)}, got)
		}
	}
	require.Equal(t, map[string]int{"d1": 5, "100%#?;d": 5}, server.CallCounts(fault.Methods))

	for _, tt := range []struct {
		device, method string
		want           Kind
	}{
		{"away", "echo", Offline},
		{"nobody", "echo", NotFound},
		{"d1", "garbage", Unreadable},
		{"d1", "silent", TimedOut},
	} {
		m, err := NewMethod(tt.method, nil, MinResponseTimeout, 0)
		require.NoError(t, err)
		_, err = c.InvokeMethod(context.Background(), tt.device, m)
		require.Equal(t, tt.want, asError(t, err).Kind, "%s on %s: %v", tt.method, tt.device, err)
	}
}

func TestSimulatorModules(t *testing.T) {
	t.Parallel()
	fleet := append(devices("d#1"), registry.Preset{ID: "d#1/m?", Responder: program{}})
	server, c := simulator(t, hubsim.Options{Fleet: fleet, Journal: true})
	m, err := NewMethod("echo", json.RawMessage("7"), MinResponseTimeout, 0)
	require.NoError(t, err)
	got, err := c.InvokeMethod(context.Background(), "d#1/m?", m)
	require.NoError(t, err)
	require.Equal(t, MethodResult{Status: 299, Payload: json.RawMessage("7")}, got)
	require.Equal(t, map[string]int{"d#1/m?": 1}, server.CallCounts(fault.Methods))
	_, err = c.InvokeMethod(context.Background(), "d#1/x", m)
	require.Equal(t, NotFound, asError(t, err).Kind)

	patch, err := NewTwinPatch(json.RawMessage(`{"a":1}`), nil)
	require.NoError(t, err)
	require.NoError(t, c.UpdateTwin(context.Background(), "d#1/m?", patch))
	page, err := c.QueryPage(context.Background(), "SELECT deviceId, moduleId FROM devices.modules WHERE tags.a = 1", "", 0)
	require.NoError(t, err)
	require.Len(t, page.Rows, 1)
	require.JSONEq(t, `{"deviceId":"d#1","moduleId":"m?"}`, string(page.Rows[0]))
}

// The forms that error bodies and broken answers of direct methods have been seen in all mean the same.
func TestSimulatorFormsOfErrors(t *testing.T) {
	t.Parallel()
	for _, opts := range []hubsim.Options{
		{MethodErrors: hubsim.Nested}, {MethodErrors: hubsim.Flat, NewOfflineText: true}, {MethodErrors: hubsim.Classic, RawBadAnswers: true},
	} {
		opts.Fleet = append(devices("d1"), registry.Preset{ID: "away"})
		_, c := simulator(t, opts)
		_, err := c.InvokeMethod(context.Background(), "away", newMethod(t))
		require.Equal(t, Offline, asError(t, err).Kind, err)
		m, err := NewMethod("garbage", nil, 0, 0)
		require.NoError(t, err)
		_, err = c.InvokeMethod(context.Background(), "d1", m)
		require.Equal(t, Unreadable, asError(t, err).Kind, err)
	}
}

func TestSimulatorTwins(t *testing.T) {
	t.Parallel()
	server, c := simulator(t, hubsim.Options{Fleet: hubsim.Devices{{
		ID: "d1", Tags: map[string]any{"site": "lab", "ring": "early"}, Desired: map[string]any{"interval": 60},
	}}})
	patch, err := NewTwinPatch(json.RawMessage(`{"site":null,"floor":{"no":3}}`), json.RawMessage(`{"interval":10}`))
	require.NoError(t, err)
	require.NoError(t, c.UpdateTwin(context.Background(), "d1", patch))
	require.NoError(t, c.UpdateTwin(context.Background(), "d1", patch), "whatever the version")

	page, err := c.QueryPage(context.Background(), "SELECT * FROM devices WHERE deviceId = 'd1'", "", 0)
	require.NoError(t, err)
	require.Len(t, page.Rows, 1)
	var twin struct {
		Tags       map[string]any
		Properties struct{ Desired map[string]any }
	}
	require.NoError(t, json.Unmarshal(page.Rows[0], &twin))
	require.Equal(t, map[string]any{"ring": "early", "floor": map[string]any{"no": 3.0}}, twin.Tags)
	require.InDelta(t, 10, twin.Properties.Desired["interval"], 0)

	require.Equal(t, NotFound, KindOf(c.UpdateTwin(context.Background(), "nobody", patch)))
	bad, err := NewTwinPatch(nil, json.RawMessage(`{"a.b":1}`))
	require.NoError(t, err)
	require.Equal(t, Rejected, KindOf(c.UpdateTwin(context.Background(), "d1", bad)))
	require.NoError(t, server.SetFaults(fault.Plan{Operations: map[fault.Operation]fault.Rule{fault.TwinUpdate: {DropAfterShare: 1}}}))
	require.Equal(t, Lost, KindOf(c.UpdateTwin(context.Background(), "d1", patch)))
}

// Rows of all pages are kept to the end: none may change under a later page, nor be missed or repeated.
func TestSimulatorQueryOverManyPages(t *testing.T) {
	t.Parallel()
	const count = 242
	var fleet hubsim.Devices
	for i := range count {
		p := registry.Preset{ID: fmt.Sprintf("d%03d", i), Tags: map[string]any{"n": i}}
		if i%2 == 0 {
			p.Tags["even"] = true
		}
		fleet = append(fleet, p)
	}
	_, c := simulator(t, hubsim.Options{Fleet: fleet, Faults: fault.Plan{Paging: fault.Paging{ShortShare: 0.3, EmptyShare: 0.2}}})

	var rows []json.RawMessage
	token, pages := "", 0
	for {
		page, err := c.QueryPage(context.Background(), "SELECT deviceId, tags FROM devices", token, 100)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Rows), 100)
		rows = append(rows, page.Rows...)
		pages++
		if token = page.Continuation; token == "" {
			break
		}
		require.Less(t, pages, 100)
	}

	require.GreaterOrEqual(t, pages, 3)
	require.Len(t, rows, count)
	seen := map[string]bool{}
	for _, raw := range rows {
		var row struct {
			DeviceID string
			Tags     struct {
				N    int
				Even bool
			}
		}
		require.NoError(t, json.Unmarshal(raw, &row))
		require.Equal(t, fmt.Sprintf("d%03d", row.Tags.N), row.DeviceID)
		require.Equal(t, row.Tags.N%2 == 0, row.Tags.Even)
		seen[row.DeviceID] = true
	}
	require.Len(t, seen, count)
}

func TestSimulatorFaults(t *testing.T) {
	t.Parallel()
	methods := func(r fault.Rule) fault.Plan {
		return fault.Plan{Operations: map[fault.Operation]fault.Rule{fault.Methods: r}}
	}
	for _, tt := range []struct {
		name    string
		plan    fault.Plan
		want    Kind
		wait    time.Duration
		reached int // how often the device was called
	}{
		{"none", fault.Plan{}, None, 0, 1},
		{"role revoked", fault.Plan{Revoked: true}, HubFault, 0, 0},
		{"quota spent", fault.Plan{QuotaExceeded: true}, HubFault, 0, 0},
		{"suspended", fault.Plan{Suspended: true}, HubFault, 0, 0},
		{"throttled, text", methods(fault.Rule{ThrottleShare: 1, WaitSeconds: 12}), Throttled, 12 * time.Second, 0},
		{"throttled, header", methods(fault.Rule{ThrottleShare: 1, RetryAfterSeconds: 3}), Throttled, 3 * time.Second, 0},
		{"500 before", methods(fault.Rule{ErrorShare: 1}), ServerError, 0, 0},
		{"500 after", methods(fault.Rule{ErrorShare: 1, ErrorAfter: true}), ServerError, 0, 1},
		{"503", methods(fault.Rule{ErrorShare: 1, ErrorStatus: 503}), Throttled, 0, 0},
		{"dropped before", methods(fault.Rule{DropBeforeShare: 1}), Lost, 0, 0},
		{"dropped after", methods(fault.Rule{DropAfterShare: 1}), Lost, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, c := simulator(t, hubsim.Options{Fleet: devices("d1"), Journal: true})
			// A pooled connection is what tempts net/http to send again.
			_, err := c.QueryPage(context.Background(), "SELECT * FROM devices", "", 1)
			require.NoError(t, err)
			require.NoError(t, server.SetFaults(tt.plan))

			_, err = c.InvokeMethod(context.Background(), "d1", newMethod(t))

			require.Equal(t, tt.want, KindOf(err), err)
			require.Equal(t, tt.reached, server.CallCounts(fault.Methods)["d1"])
			if err != nil {
				e := asError(t, err)
				require.Equal(t, tt.wait, e.Wait)
				require.True(t, e.MayHaveExecuted() || tt.reached == 0)
			}
		})
	}
}

func TestSimulatorQueryFaults(t *testing.T) {
	t.Parallel()
	server, c := simulator(t, hubsim.Options{Fleet: devices("a", "b", "c")})
	_, err := c.QueryPage(context.Background(), "SELECT * FROM devices WHERE", "", 0)
	require.Equal(t, Rejected, KindOf(err), err)
	page, err := c.QueryPage(context.Background(), "SELECT * FROM devices", "", 1)
	require.NoError(t, err)
	require.NoError(t, server.SetFaults(fault.Plan{Paging: fault.Paging{LostTokenShare: 1}}))
	_, err = c.QueryPage(context.Background(), "SELECT * FROM devices", page.Continuation, 1)
	require.Equal(t, Rejected, KindOf(err), "a lost continuation token: the caller begins again")
}

func TestSimulatorRefusesAForgedKey(t *testing.T) {
	t.Parallel()
	server, _ := simulator(t, hubsim.Options{Fleet: devices("d1")})
	c := newClient(t, Options{ConnectionString: connectionString(server.HostName()), CAFile: server.CAFile()})
	e := invokeErr(t, c, newMethod(t))
	require.Equal(t, HubFault, e.Kind)
	require.Equal(t, 401, e.Status)
}
