package dispatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// reportQuery is a query for what devices report under some names.
type reportQuery struct {
	text  string
	names []string
}

// reportedQuery asks for the first n devices, or modules, of ids: as many as a query's length and a page allow.
func reportedQuery(names, ids []string) (q reportQuery, n int) {
	_, _, modules := strings.Cut(ids[0], "/")
	source, keys := twinquery.Devices, "deviceId"
	if modules {
		source, keys = twinquery.Modules, "deviceId, moduleId"
	}
	var b strings.Builder
	b.WriteString("SELECT " + keys)
	for i, name := range names {
		path := twinquery.Path{Elems: []string{"properties", "reported", name}}
		fmt.Fprintf(&b, ", %s AS %s", path.String(), alias(i))
	}
	fmt.Fprintf(&b, " FROM %s WHERE deviceId IN [", source)
	const tail = "] AND moduleId IN ["
	left := twinquery.MaxLength - b.Len() - len(tail) - len("]")
	var devices, parts []string
	for _, id := range ids {
		device, part, isModule := strings.Cut(id, "/")
		moreDevices, moreParts := added(devices, device), added(parts, part)
		if isModule != modules || len(joined(moreDevices))+len(joined(moreParts)) > left ||
			n > 0 && len(moreDevices)*len(moreParts) > job.ShardSize {
			break
		}
		devices, parts, n = moreDevices, moreParts, n+1
	}
	b.WriteString(joined(devices))
	if modules {
		b.WriteString(tail + joined(parts))
	}
	return reportQuery{text: b.String() + "]", names: names}, n
}

// alias stands for the i-th name in the rows.
func alias(i int) string { return fmt.Sprintf("p%d", i) }

// added gives a list with an element that may be in it already.
func added(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(slices.Clip(list), s)
}

func joined(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = twinquery.Quote(s)
	}
	return strings.Join(quoted, ", ")
}

// read adds rows to what is found: what each device or module reports, by name.
func (q reportQuery) read(found map[string]map[string]any, rows []json.RawMessage) error {
	for _, raw := range rows {
		var id struct {
			DeviceID string `json:"deviceId"` // in any case: some versions of the hub spell it DeviceId
			ModuleID string `json:"moduleId"`
		}
		var row map[string]any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&row); err != nil {
			return fmt.Errorf("reading a row of the query for reported properties: %w", err)
		}
		if err := json.Unmarshal(raw, &id); err != nil {
			return fmt.Errorf("reading a row of the query for reported properties: %w", err)
		}
		reported := make(map[string]any, len(q.names))
		for i, name := range q.names {
			reported[name] = row[alias(i)]
		}
		found[job.TargetID(id.DeviceID, id.ModuleID)] = reported
	}
	return nil
}
