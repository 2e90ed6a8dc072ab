package dispatch

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// However long names and ids are, each query is one that the hub takes, and all devices get their turn.
func TestReportedQueriesFitTheirLength(t *testing.T) {
	t.Parallel()
	names := make([]string, job.MaxConfirmed)
	for i := range names {
		names[i] = fmt.Sprintf("%c-%s", 'a'+i, strings.Repeat("'", job.MaxConfirmNames/job.MaxConfirmed-2))
	}
	ids := func(n int, form string) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(form, i)
		}
		return all
	}
	for name, c := range map[string]struct {
		names, ids []string
		queries    int
	}{
		"short ids":             {[]string{"a"}, ids(100, "dev-%d"), 1},
		"the longest":           {names, ids(100, strings.Repeat("'", 125)+"%03d"), 5},
		"modules of one name":   {[]string{"a"}, ids(100, "dev-%d/camera"), 1},
		"modules of many names": {[]string{"a"}, ids(100, "dev-%[1]d/part-%[1]d"), 10},
		"modules of a device":   {[]string{"a"}, ids(50, "dev/part-%d"), 1},
		"devices, then modules": {[]string{"a"}, append(ids(10, "dev-%d"), ids(10, "dev-%d/camera")...), 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queries := 0
			for rest := c.ids; len(rest) > 0; queries++ {
				q, n := reportedQuery(c.names, rest)
				require.Positive(t, n)
				require.LessOrEqual(t, len(q.text), twinquery.MaxLength)
				parsed, err := twinquery.ParseQuery(q.text)
				require.NoError(t, err, q.text)
				for _, id := range rest[:n] {
					device, module := job.SplitTarget(id)
					require.True(t, parsed.Match(twinquery.Map{"deviceId": device, "moduleId": module}, twinquery.Options{}))
				}
				rest = rest[n:]
			}
			require.Equal(t, c.queries, queries)
		})
	}
}

func TestRowsOfReportedProperties(t *testing.T) {
	t.Parallel()
	q, _ := reportedQuery([]string{"a", "b"}, []string{"d"})
	found := map[string]map[string]any{}
	require.NoError(t, q.read(found, []json.RawMessage{
		json.RawMessage(`{"deviceId":"d","p0":1,"p1":{"c":null}}`), json.RawMessage(`{"DeviceId":"e"}`), json.RawMessage(`{"deviceId":"d","moduleId":"m"}`),
	}))
	require.Equal(t, map[string]map[string]any{
		"d": {"a": json.Number("1"), "b": map[string]any{"c": nil}}, "e": {"a": nil, "b": nil}, "d/m": {"a": nil, "b": nil},
	}, found)
	require.Error(t, q.read(found, []json.RawMessage{json.RawMessage(`[]`)}))
	require.Error(t, q.read(found, []json.RawMessage{json.RawMessage(`{"deviceId":1}`)}))
}
