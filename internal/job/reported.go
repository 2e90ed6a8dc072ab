package job

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// look is what a device's reported properties say about what it is waited for.
type look int

const (
	lookOpen look = iota
	lookReached
	lookRefused
)

// finding is a look with what led to it.
type finding struct {
	look look
	text string         // why not yet
	ack  map[string]any // in which the device refused
	code int            // with which it did
}

func names(tree map[string]any) []string { return slices.Sorted(maps.Keys(tree)) }

// wants gives those members of the patch that are to be confirmed, or the path of one that the patch does not set.
func (c *Confirm) wants(u *TwinUpdate) (want map[string]any, unset string) {
	text, _ := decoded(u.Properties.Desired)
	patch, _ := text.(map[string]any)
	if c.Properties == nil {
		return patch, ""
	}
	want = map[string]any{}
	for _, path := range c.Properties {
		if !pick(want, patch, strings.Split(path, ".")) {
			return nil, path
		}
	}
	return want, ""
}

// pick copies the value at a path, and reports whether there is one.
func pick(into, from map[string]any, path []string) bool {
	value, set := from[path[0]]
	if !set || len(path) == 1 {
		into[path[0]] = value
		return set
	}
	below, isObject := value.(map[string]any)
	next, begun := into[path[0]].(map[string]any)
	if !begun {
		next = map[string]any{}
		into[path[0]] = next
	}
	return isObject && pick(next, below, path[1:])
}

// acknowledged splits the answer by which a device that follows IoT Plug and Play tells of a writable property: its value, a
// status like those of HTTP, and a text
// (https://learn.microsoft.com/azure/iot-develop/concepts-convention#writable-properties).
func acknowledged(got any) (value any, code int, ok bool) {
	ack, _ := got.(map[string]any)
	value, hasValue := ack["value"]
	number, _ := ack["ac"].(json.Number)
	n, err := number.Int64()
	return value, int(n), hasValue && err == nil
}

// working is the status of an acknowledgement whose device has not finished.
const working = 202

// applied compares what a device reports at a path with what was desired. Of several members one that the device refused counts
// before one that is missing.
func applied(path string, want, got any) finding {
	if value, code, ok := acknowledged(got); ok {
		f := applied(path, want, value)
		switch {
		case code >= 400 && f.look == lookReached:
			ack, _ := got.(map[string]any)
			return finding{look: lookRefused, ack: ack, code: code}
		case f.look == lookReached && (!successes.has(code) || code == working):
			return finding{text: fmt.Sprintf("%s: acknowledged with %d", path, code)}
		}
		return f
	}
	if members, isObject := want.(map[string]any); isObject {
		return allApplied(path, members, got)
	}
	if same(want, got) {
		return finding{look: lookReached}
	}
	return finding{text: fmt.Sprintf("%s is %s, desired is %s", path, inText(got), inText(want))}
}

func allApplied(path string, want map[string]any, got any) finding {
	here, _ := got.(map[string]any)
	all := finding{look: lookReached}
	for _, name := range names(want) {
		f := applied(strings.TrimPrefix(path+"."+name, "."), want[name], here[name])
		if f.look == lookRefused {
			return f
		}
		if all.look == lookReached {
			all = f
		}
	}
	return all
}

// top is the name at the top of the path.
func (w *WaitFor) top() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(w.Path, reportedPrefix), ".")
	return name
}

// find looks for what w waits for.
func (w *WaitFor) find(reported map[string]any) finding {
	var at any = reported
	for name := range strings.SplitSeq(strings.TrimPrefix(w.Path, reportedPrefix), ".") {
		if value, _, ok := acknowledged(at); ok {
			at = value
		}
		here, _ := at.(map[string]any)
		at = here[name]
	}
	there := at != nil
	if value, _, ok := acknowledged(at); ok {
		at = value
	}
	want, _ := decoded(append(slices.Clone(w.Equals), w.NotEquals...))
	switch {
	case w.Exists != nil && there == *w.Exists, w.Equals != nil && same(want, at), w.NotEquals != nil && there && !same(want, at):
		return finding{look: lookReached}
	}
	return finding{text: fmt.Sprintf("%s is %s", w.Path, inText(at))}
}

// inText writes a reported value for people.
func inText(v any) string {
	if v == nil {
		return "not reported"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return shown(string(text))
}
