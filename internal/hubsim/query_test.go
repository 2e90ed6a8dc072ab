package hubsim_test

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
)

// pages runs a query to its end and returns the rows of every page. between is called after each page.
func (h *hub) pages(query string, size int, between func(page int)) [][]map[string]any {
	h.t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	require.NoError(h.t, err)
	var pages [][]map[string]any
	for token := ""; ; {
		header := []string{"x-ms-max-item-count", fmt.Sprint(size)}
		if token != "" {
			header = append(header, "x-ms-continuation", token)
		}
		res := h.do("POST", "/devices/query", string(body), header...)
		require.Equal(h.t, 200, res.StatusCode, res.body)
		var rows []map[string]any
		require.NoError(h.t, json.Unmarshal([]byte(res.body), &rows))
		pages = append(pages, rows)
		require.Less(h.t, len(pages), 1000, "the query does not end")
		if between != nil {
			between(len(pages))
		}
		tokens := res.Header.Values("x-ms-continuation")
		if len(tokens) == 0 {
			return pages
		}
		token = tokens[0]
		require.NotEmpty(h.t, token)
	}
}

// ids returns the device ids of all rows.
func ids(pages [][]map[string]any) []string {
	all := []string{}
	for _, page := range pages {
		for _, row := range page {
			all = append(all, row["deviceId"].(string))
		}
	}
	return all
}

// expected returns the ids of the devices of a fleet for which match is true.
func expected(f *fleetsim.Fleet, match func(fleetsim.Device) bool) []string {
	all := []string{}
	for d := range f.All() {
		if match(d) {
			all = append(all, d.ID)
		}
	}
	return all
}

func TestQueryFindsWhatTheFleetHas(t *testing.T) {
	t.Parallel()
	f := fleet(t, fleetsim.Options{Devices: 1000, OfflineShare: 0.2})
	h := start(t, hubsim.Options{Fleet: f})
	for query, match := range map[string]func(fleetsim.Device) bool{
		"SELECT * FROM devices": func(fleetsim.Device) bool { return true },
		"SELECT deviceId FROM devices WHERE tags.env = 'prod' AND tags.floor > 3": func(d fleetsim.Device) bool {
			return d.Tags["env"] == "prod" && d.Tags["floor"].(int) > 3
		},
		"SELECT deviceId, tags.site FROM devices WHERE tags.location.region IN ['us','apac']": func(d fleetsim.Device) bool {
			return d.Tags["site"] == "chicago" || d.Tags["site"] == "osaka"
		},
		"SELECT * FROM devices WHERE properties.reported.firmware < '2.0'": func(d fleetsim.Device) bool {
			return d.Reported["firmware"].(string) < "2.0"
		},
		"SELECT deviceId FROM devices WHERE connectionState = 'Disconnected'":                   func(d fleetsim.Device) bool { return d.Offline },
		"SELECT * FROM devices WHERE properties.desired.$version = 1 AND is_defined(tags.ring)": func(fleetsim.Device) bool { return true },
		"SELECT * FROM devices WHERE deviceId IN ['dev-000007','nobody','dev-000003']": func(d fleetsim.Device) bool {
			return d.ID == "dev-000003" || d.ID == "dev-000007"
		},
		"SELECT * FROM devices WHERE properties.reported.connectivity.type != 'wifi'": func(d fleetsim.Device) bool {
			return d.Reported["connectivity"].(map[string]any)["type"] != "wifi"
		},
		"SELECT * FROM devices WHERE tags.nothing = 1": func(fleetsim.Device) bool { return false },
	} {
		want := expected(f, match)
		require.Equal(t, want, ids(h.pages(query, 100, nil)), query)
	}
}

func TestPagesHoldAtMostAHundredRowsAndTheLastHasNoToken(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 200})})
	require.Len(t, h.pages("SELECT * FROM devices", 1000, nil), 2, "two full pages and no empty one")
	require.Len(t, h.pages("SELECT * FROM devices", 30, nil), 7)
	require.Len(t, h.pages("SELECT TOP 30 * FROM devices", 30, nil), 1)
	require.Len(t, ids(h.pages("SELECT TOP 45 * FROM devices", 10, nil)), 45)
	pages := h.pages("SELECT * FROM devices WHERE tags.nothing = 1", 10, nil)
	require.Equal(t, [][]map[string]any{{}}, pages)
}

func TestItemTypes(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1})})
	for query, want := range map[string]string{
		"SELECT * FROM devices": "Twin", "SELECT deviceId FROM devices": "Raw", "SELECT COUNT() AS n FROM devices": "Raw",
		"SELECT * FROM devices.modules": "Twin", "SELECT * FROM devices.jobs": "DeviceJob",
	} {
		res := h.do("POST", "/devices/query", `{"Query":"`+query+`"}`)
		require.Equal(t, 200, res.StatusCode, query)
		require.Equal(t, want, res.Header.Get("x-ms-item-type"), query)
	}
}

func TestAggregates(t *testing.T) {
	t.Parallel()
	f := fleet(t, fleetsim.Options{Devices: 500})
	h := start(t, hubsim.Options{Fleet: f})
	rows := h.pages("SELECT tags.building AS building, COUNT() AS n FROM devices WHERE tags.env = 'prod' GROUP BY tags.building", 7, nil)
	got, sum := map[int]int{}, 0
	for _, page := range rows {
		require.LessOrEqual(t, len(page), 7)
		for _, row := range page {
			got[int(row["building"].(float64))] = int(row["n"].(float64))
			sum += int(row["n"].(float64))
		}
	}
	want := map[int]int{}
	for d := range f.All() {
		if d.Tags["env"] == "prod" {
			want[d.Tags["building"].(int)]++
		}
	}
	require.Equal(t, want, got)
	require.Equal(t, len(expected(f, func(d fleetsim.Device) bool { return d.Tags["env"] == "prod" })), sum)
}

func TestRefusedQueries(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 300})})
	token := h.do("POST", "/devices/query", `{"query":"SELECT * FROM devices"}`).Header.Get("x-ms-continuation")
	require.NotEmpty(t, token)
	for name, test := range map[string]struct {
		body, code string
		header     []string
	}{
		"null":           {`{"query":null}`, "ArgumentNull", nil},
		"nothing":        {`{}`, "ArgumentNull", nil},
		"no JSON":        {`SELECT`, "ArgumentInvalid", nil},
		"no query":       {`{"query":"tags.a = 1"}`, "ArgumentInvalid", nil},
		"LOWER":          {`{"query":"SELECT * FROM devices WHERE LOWER(tags.a) = 'x'"}`, "ArgumentInvalid", nil},
		"CONTAINS":       {`{"query":"SELECT * FROM devices WHERE CONTAINS(tags.a,'x')"}`, "ArgumentInvalid", nil},
		"too long":       {`{"query":"SELECT * FROM devices WHERE tags.a = '` + strings.Repeat("x", 8192) + `'"}`, "ArgumentInvalid", nil},
		"page size":      {`{"query":"SELECT * FROM devices"}`, "ArgumentInvalid", []string{"x-ms-max-item-count", "0"}},
		"foreign token":  {`{"query":"SELECT deviceId FROM devices"}`, "ArgumentInvalid", []string{"x-ms-continuation", token}},
		"broken token":   {`{"query":"SELECT * FROM devices"}`, "ArgumentInvalid", []string{"x-ms-continuation", "*"}},
		"token not JSON": {`{"query":"SELECT * FROM devices"}`, "ArgumentInvalid", []string{"x-ms-continuation", "YWJj"}},
	} {
		res := h.do("POST", "/devices/query", test.body, test.header...)
		require.Equal(t, 400, res.StatusCode, name)
		require.Equal(t, test.code, res.Header.Get("iothub-errorcode"), name)
	}
	require.Equal(t, 200, h.do("POST", "/devices/query", `{"query":"SELECT * FROM devices WHERE STARTSWITH(deviceId,'dev')"}`).StatusCode)
	lenient := start(t, hubsim.Options{LenientQueries: true})
	require.Equal(t, 200, lenient.do("POST", "/devices/query", `{"query":"SELECT * FROM devices WHERE LOWER(tags.a) = 'x'"}`).StatusCode)
}

func TestContinuationStandsStillWhileDevicesChange(t *testing.T) {
	t.Parallel()
	f := fleet(t, fleetsim.Options{Devices: 50})
	h := start(t, hubsim.Options{Fleet: f})
	// Devices behind and before the position come, go and change while the query is read.
	pages := h.pages("SELECT * FROM devices WHERE NOT is_defined(tags.done)", 10, func(page int) {
		for i := range 10 {
			h.do("PATCH", "/twins/"+f.ID((page-1)*10+i), `{"tags":{"done":true}}`)
		}
		h.do("PUT", fmt.Sprintf("/devices/aaa-%d", page), `{}`)
		h.do("DELETE", "/devices/"+f.ID(page), "", "If-Match", "*")
	})
	require.Equal(t, expected(f, func(fleetsim.Device) bool { return true }), ids(pages)[:50], "each device once, none missed")
}

func TestFaultsOfPaging(t *testing.T) {
	t.Parallel()
	f := fleet(t, fleetsim.Options{Devices: 300})
	all := expected(f, func(fleetsim.Device) bool { return true })

	h := start(t, hubsim.Options{Fleet: f, Faults: fault.Plan{Paging: fault.Paging{ShortShare: 0.4, EmptyShare: 0.3, RepeatShare: 0.5}}})
	for _, size := range []int{1, 2, 50} {
		pages := h.pages("SELECT deviceId FROM devices", size, nil)
		got := ids(pages)
		require.Greater(t, len(got), 300, "some are listed twice")
		require.True(t, sort.StringsAreSorted(got))
		distinct := []string{}
		for i, id := range got {
			if i == 0 || got[i-1] != id {
				distinct = append(distinct, id)
			}
		}
		require.Equal(t, all, distinct)
		empty := 0
		for _, page := range pages {
			if len(page) == 0 {
				empty++
			}
		}
		require.Positive(t, empty)
	}
	require.Len(t, distinct(ids(h.pages("SELECT TOP 77 deviceId FROM devices", 10, nil))), 77, "TOP counts devices, not repetitions")

	require.NoError(t, h.SetFaults(fault.Plan{Paging: fault.Paging{LostTokenShare: 1}}))
	res := h.do("POST", "/devices/query", `{"query":"SELECT * FROM devices"}`)
	require.Equal(t, 200, res.StatusCode)
	res = h.do("POST", "/devices/query", `{"query":"SELECT * FROM devices"}`, "x-ms-continuation", res.Header.Get("x-ms-continuation"))
	require.Equal(t, 400, res.StatusCode)
}

func distinct(all []string) map[string]bool {
	set := map[string]bool{}
	for _, id := range all {
		set[id] = true
	}
	return set
}

func TestIndexLagsBehind(t *testing.T) {
	t.Parallel()
	const lag = 5 * time.Second
	h := start(t, hubsim.Options{IndexLag: lag, Fleet: hubsim.Devices{{ID: "d"}, {ID: "gone"}}})
	query := func(where string) string {
		return strings.Join(ids(h.pages("SELECT deviceId FROM devices"+where, 10, nil)), " ")
	}
	require.Equal(t, "d gone", query(""))

	h.do("DELETE", "/devices/gone", "", "If-Match", "*")
	h.do("PUT", "/devices/new", "{}")
	h.do("PATCH", "/twins/d", `{"tags":{"a":1}}`)

	require.Equal(t, 404, h.do("GET", "/twins/gone", "").StatusCode, "the twin itself is always current")
	require.Equal(t, "d gone", query(""), "the index is not")
	require.Empty(t, query(" WHERE tags.a = 1"))
	require.Eventually(t, func() bool { return query("") == "d new" && query(" WHERE tags.a = 1") == "d" }, time.Minute, 50*time.Millisecond)
}
