package twin

import (
	"maps"
	"strconv"
	"time"
)

// timeFormat is how the hub writes the times of twins: seven digits of a second, always UTC.
const timeFormat = "2006-01-02T15:04:05.0000000Z"

// AppendTime appends a time as a JSON string in the form of twins; the zero time is year 1.
func AppendTime(buf []byte, t time.Time) []byte {
	buf = append(buf, '"')
	buf = t.UTC().AppendFormat(buf, timeFormat)
	return append(buf, '"')
}

// Section is the desired or the reported part of a twin. It is immutable.
type Section struct {
	// Values are the properties, without $metadata and $version. They must not be changed.
	Values map[string]any
	// Version is the section's $version, from 1.
	Version int64

	meta *meta
}

// meta says when a property and what is below it changed last. A property without a node of its own changed when the nearest
// node above says so in base.
type meta struct {
	own, base stamp
	below     map[string]*meta
}

type stamp struct {
	at      time.Time
	version int64 // 0: never changed since the section was made
}

// NewSection returns a section of version 1. The caller must not change values afterwards.
func NewSection(values map[string]any, at time.Time) Section {
	s := stamp{at: at}
	return Section{Values: values, Version: 1, meta: &meta{own: s, base: s}}
}

// Merge applies a merge patch: null deletes, objects merge, everything else replaces.
func (s Section) Merge(patch map[string]any, at time.Time) Section {
	now := stamp{at: at, version: s.Version + 1}
	values, m := merge(s.Values, s.meta, patch, now)
	return Section{Values: values, Version: now.version, meta: m}
}

// Replace sets all properties at once; nulls among them are left out.
func (s Section) Replace(values map[string]any, at time.Time) Section {
	now := stamp{at: at, version: s.Version + 1}
	fresh, _ := merge(nil, &meta{own: now, base: now}, values, now)
	return Section{Values: fresh, Version: now.version, meta: &meta{own: now, base: now}}
}

func merge(values map[string]any, m *meta, patch map[string]any, now stamp) (map[string]any, *meta) {
	out := make(map[string]any, len(values)+len(patch))
	maps.Copy(out, values)
	next := &meta{own: now, base: m.base, below: make(map[string]*meta, len(m.below)+len(patch))}
	maps.Copy(next.below, m.below)
	for key, v := range patch {
		sub, isObject := v.(map[string]any)
		switch old, wasObject := out[key].(map[string]any); {
		case v == nil:
			delete(out, key)
			delete(next.below, key)
		case isObject && wasObject:
			out[key], next.below[key] = merge(old, m.child(key), sub, now)
		case isObject:
			out[key], _ = merge(nil, &meta{own: now, base: now}, sub, now)
			next.below[key] = &meta{own: now, base: now}
		default:
			out[key] = v
			next.below[key] = &meta{own: now, base: now}
		}
	}
	return out, next
}

// child returns the node of a property, made up if it has none.
func (m *meta) child(key string) *meta {
	if c := m.below[key]; c != nil {
		return c
	}
	return &meta{own: m.base, base: m.base}
}

// Metadata returns $metadata as decoded JSON. versions includes $lastUpdatedVersion, which only desired properties have.
func (s Section) Metadata(versions bool) map[string]any { return s.meta.tree(s.Values, versions) }

func (m *meta) tree(v any, versions bool) map[string]any {
	out := map[string]any{"$lastUpdated": m.own.at.UTC().Format(timeFormat)}
	if versions && m.own.version > 0 {
		out["$lastUpdatedVersion"] = m.own.version
	}
	object, ok := v.(map[string]any)
	if !ok {
		return out
	}
	for key, below := range object {
		out[key] = m.child(key).tree(below, versions)
	}
	return out
}

func (m *meta) appendTree(buf []byte, v any, versions bool) []byte {
	buf = append(buf, `{"$lastUpdated":`...)
	buf = AppendTime(buf, m.own.at)
	if versions && m.own.version > 0 {
		buf = append(buf, `,"$lastUpdatedVersion":`...)
		buf = strconv.AppendInt(buf, m.own.version, 10)
	}
	if object, ok := v.(map[string]any); ok {
		for _, key := range sortedKeys(object) {
			buf = append(buf, ',')
			buf = append(AppendString(buf, key), ':')
			buf = m.child(key).appendTree(buf, object[key], versions)
		}
	}
	return append(buf, '}')
}

// AppendJSON appends the section as the service shows it, with $metadata and $version.
func (s Section) AppendJSON(buf []byte, versions bool) []byte {
	buf, comma := appendMembers(append(buf, '{'), s.Values, false)
	if comma {
		buf = append(buf, ',')
	}
	buf = append(buf, `"$metadata":`...)
	buf = s.meta.appendTree(buf, s.Values, versions)
	return appendVersion(append(buf, ','), s.Version)
}

// AppendForDevice appends values as a device sees them: with $version, without $metadata.
func AppendForDevice(buf []byte, values map[string]any, version int64) []byte {
	buf, comma := appendMembers(append(buf, '{'), values, false)
	if comma {
		buf = append(buf, ',')
	}
	return appendVersion(buf, version)
}

func appendVersion(buf []byte, version int64) []byte {
	buf = append(buf, `"$version":`...)
	buf = strconv.AppendInt(buf, version, 10)
	return append(buf, '}')
}

// Lookup returns the value at a path, $version and $metadata included.
func (s Section) Lookup(path []string, versions bool) (any, bool) {
	if len(path) == 0 {
		all := maps.Clone(s.Values)
		if all == nil {
			all = map[string]any{}
		}
		all["$metadata"], all["$version"] = s.Metadata(versions), s.Version
		return all, true
	}
	switch path[0] {
	case "$version":
		return s.Version, len(path) == 1
	case "$metadata":
		return Walk(s.Metadata(versions), path[1:])
	}
	return Walk(s.Values, path)
}

// Walk returns the value at a path below v.
func Walk(v any, path []string) (any, bool) {
	for _, key := range path {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[key]; !ok {
			return nil, false
		}
	}
	return v, true
}
