package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// withTwins has the hub answer projections from twins, and remembers the payload that each device got.
func withTwins(w *world, twins map[string]string) map[string]string {
	got := map[string]string{}
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.hub.twins = map[string]twinquery.Map{}
	for id, text := range twins {
		doc := twinquery.Map{}
		require.NoError(w.t, json.Unmarshal([]byte(text), &doc))
		device, module := job.SplitTarget(id)
		if doc["deviceId"] = device; module != "" {
			doc["moduleId"] = module
		}
		w.hub.twins[id] = doc
	}
	w.hub.sent = func(id string, body []byte) { got[id] = payloadOf(w.t, body) }
	return got
}

// payloadOf gives the payload of a method's request, or a patch.
func payloadOf(t *testing.T, body []byte) string {
	t.Helper()
	var m struct{ Payload json.RawMessage }
	require.NoError(t, json.Unmarshal(body, &m))
	if m.Payload == nil {
		return string(body)
	}
	return string(m.Payload)
}

// twin is that of a device on a site, with a firmware if it has one.
func twin(site, firmware string) string {
	reported := `{}`
	if firmware != "" {
		reported = fmt.Sprintf(`{"firmware":%s}`, firmware)
	}
	quoted, _ := json.Marshal(site)
	return fmt.Sprintf(`{"tags":{"site":%s},"properties":{"reported":%s}}`, quoted, reported)
}

const parametrised = `"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m",
	"payload":{"site":"{{tags.site}}","from":"{{properties.reported.firmware}}","text":"{{deviceId}} at {{tags.site}}","n":"{{tags.floor ?? 0}}"}}`

func TestEachDeviceGetsThePayloadOfItsTwin(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{"by a query": `"queryCondition":"tags.site != 'x'"`, "by a list": `"deviceIds":["dev-0","dev-1","dev-2"]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, quick)
			w.hub.populate(3)
			got := withTwins(w, map[string]string{
				"dev-0": twin("north", "7"), "dev-1": twin(`{{tags.secret}}","admin":true,"x":"`, `{"a":[1,null]}`), "dev-2": twin("south", ""),
			})
			run := w.ended(w.create(`{` + parametrised + `,` + target + `}`))

			require.Equal(t, job.StatusCompleted, run.Status)
			require.JSONEq(t, `{"site":"north","from":7,"text":"dev-0 at north","n":0}`, got["dev-0"])
			hostile := `{{tags.secret}}","admin":true,"x":"`
			want, err := json.Marshal(map[string]any{
				"site": hostile, "from": map[string]any{"a": []any{1, nil}}, "text": "dev-1 at " + hostile, "n": 0,
			})
			require.NoError(t, err)
			require.JSONEq(t, string(want), got["dev-1"], "a value is a value, whatever it looks like")
			missing := w.executions(run)["dev-2"]
			require.Equal(t, job.Failed, missing.State)
			require.Equal(t, job.MissingParameter, missing.Reason)
			require.Zero(t, missing.Attempts, "no call is made")
			require.Contains(t, missing.ErrorText(), "properties.reported.firmware")
			require.Zero(t, w.hub.called("dev-2"))
			require.Nil(t, w.executions(run)["dev-0"].Values, "what nobody needs any more is not kept")
		})
	}
}

func TestModulesOfAListAreLookedUpToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.devices = []string{"edge/a", "edge/b"}
	got := withTwins(w, map[string]string{"edge/a": twin("north", "1"), "edge/b": twin("south", "")})
	body := `"type":"scheduleUpdateTwin","updateTwin":{"properties":{"desired":{"on":"{{moduleId}}","v":"{{properties.reported.firmware}}"}}}`
	id := w.create(`{` + body + `,"queryCondition":"FROM devices.modules"}`)
	first := w.ended(id)
	require.JSONEq(t, `{"properties":{"desired":{"on":"a","v":1}}}`, got["edge/a"])
	require.Equal(t, job.MissingParameter, w.executions(first)["edge/b"].Reason)

	second := withTwins(w, map[string]string{"edge/a": twin("north", "1"), "edge/b": twin("south", "2")})
	rec, run, err := w.current().d.Get(t.Context(), id)
	require.NoError(t, err)
	again, err := w.current().d.Rerun(t.Context(), rec, run, job.Rerun{States: []job.ExecutionState{job.Failed}}, someone())
	require.NoError(t, err)
	require.Equal(t, job.StatusCompleted, w.ended(again.JobID).Status)
	require.Len(t, second, 1)
	require.JSONEq(t, `{"properties":{"desired":{"on":"b","v":2}}}`, second["edge/b"], "a rerun takes the values of its own time")
}

func TestValuesThatBreakALimitEndTheirDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(3)
	long := strings.Repeat("x", 4000)
	withTwins(w, map[string]string{"dev-0": twin("a", "1"), "dev-1": twin(long, "1"), "dev-2": twin(long+strings.Repeat("y", 96), "1")})
	run := w.ended(w.create(`{"type":"scheduleUpdateTwin","queryCondition":"*",
		"updateTwin":{"tags":{"a":"{{tags.site}}","b":"{{tags.site}} {{tags.site}}"}}}`))
	all := w.executions(run)
	require.Equal(t, job.Succeeded, all["dev-0"].State)
	require.Equal(t, job.InvalidParameter, all["dev-1"].Reason)
	require.Contains(t, string(all["dev-1"].Answer), "updateTwin.tags.b: a string must have at most 4096 bytes")
	require.Equal(t, job.InvalidParameter, all["dev-2"].Reason)
	require.Contains(t, string(all["dev-2"].Answer), "more than 4096 bytes")
}

// TestAJobWithoutPlaceholdersSelectsIDsAlone holds that others pay nothing.
func TestAJobWithoutPlaceholdersSelectsIDsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(1)
	var sent string
	w.hub.sent = func(_ string, body []byte) { sent = payloadOf(t, body) }
	require.Equal(t, job.StatusCompleted, w.ended(w.create(`{"type":"scheduleDeviceMethod","queryCondition":"*","placeholders":false,
		"cloudToDeviceMethod":{"methodName":"m","payload":"{{tags.site}}"}}`)).Status)
	require.Equal(t, "SELECT deviceId FROM devices", w.hub.asked)
	require.Equal(t, `"{{tags.site}}"`, sent)
}

func TestLookupsFitTheQuery(t *testing.T) {
	t.Parallel()
	ids := make([]string, 300)
	for i := range ids {
		ids[i] = fmt.Sprintf("%03d'%s", i, strings.Repeat("'", 124))
	}
	asked := 0
	for rest := ids; len(rest) > 0; asked++ {
		query, n := lookup(rest, []string{"tags.site", "tags.[[group]]"})
		q, err := twinquery.ParseQuery(query)
		require.NoError(t, err)
		for i, id := range rest {
			require.Equal(t, i < n, q.Match(twinquery.Map{"deviceId": id}, twinquery.Options{}), "the query names the first %d", n)
		}
		require.Positive(t, n)
		rest = rest[n:]
	}
	require.Less(t, asked, 15)
	_, n := lookup([]string{"a", "b", "edge/m"}, []string{"tags.site"})
	require.Equal(t, 2, n, "devices and modules are asked for apart")
}

func TestABoundDeviceIsRefusedOnceOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(2)
	withTwins(w, map[string]string{"dev-0": twin("a", "1"), "dev-1": twin("a", "")})
	run := w.ended(w.create(`{` + parametrised + `,"queryCondition":"*","deliveryGuarantee":"atMostOnce"}`))
	all := w.executions(run)
	require.Equal(t, job.Succeeded, all["dev-0"].State)
	require.Equal(t, job.MissingParameter, all["dev-1"].Reason)
	require.Zero(t, all["dev-1"].Attempts, "not even the mark of atMostOnce stays")
}

// TestValuesAreThoseOfTheSelection: they lie with the devices, so that another process has the same later.
func TestValuesAreThoseOfTheSelection(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.QueueOnly = true
	w := newWorld(t, opts)
	w.hub.populate(3)
	w.queue.withheld = kindShard
	withTwins(w, map[string]string{"dev-0": twin("a", "1"), "dev-1": twin("b", "2"), "dev-2": twin("c", "3")})
	id := w.create(`{` + parametrised + `,"queryCondition":"*"}`)
	w.run(func(ctx context.Context) bool {
		rec, err := w.observer().Job(ctx, id)
		if err != nil {
			return false
		}
		plan, err := w.observer().Plan(ctx, rec.RunID)
		return err == nil && plan.Done
	})
	w.current().dead(errKilled)
	got := withTwins(w, map[string]string{"dev-0": twin("x", ""), "dev-1": twin("x", ""), "dev-2": twin("x", "")})
	w.queue.mu.Lock()
	w.queue.withheld = ""
	w.queue.mu.Unlock()
	require.Equal(t, 3, w.ended(id).Counts().Statistics().SucceededCount)
	require.JSONEq(t, `{"site":"c","from":3,"text":"dev-2 at c","n":0}`, got["dev-2"])
}

// TestLargeValuesFitTheirWrites: a transaction takes 4 MiB, in base64, however many devices are selected together.
func TestLargeValuesFitTheirWrites(t *testing.T) {
	t.Parallel()
	p := &planner{pending: make([]string, planShards*job.ShardSize)}
	page := map[string][]byte{}
	for i := range p.pending {
		p.pending[i] = fmt.Sprint("dev-", i)
		page[p.pending[i]] = make([]byte, job.MaxParameterBytes)
	}
	require.Equal(t, planShards, p.writable(), "without values only rows count")
	for _, id := range p.pending {
		p.known.keep(id, page)
	}
	n := p.writable()
	require.Equal(t, 5, n)
	require.Less(t, n*job.ShardSize*job.MaxParameterBytes*4/3, 4<<20-100<<10)

	s := newShard("j.0", 0, p.pending[:job.ShardSize])
	p.known.move(s)
	require.Len(t, s.Executions[99].Values, job.MaxParameterBytes)
	require.Len(t, p.known, len(p.pending)-job.ShardSize, "what is stored is not kept in memory")
}
