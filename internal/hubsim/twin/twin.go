package twin

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
)

// Twin is the document of a device. It is immutable; the zero value is not valid, see [New].
type Twin struct {
	// Tags must not be changed.
	Tags              map[string]any
	Desired, Reported Section

	// changes counts the writes of tags and desired properties, creation included.
	changes int64
}

// New returns the twin of a device created now. The caller must not change the maps afterwards. The error is a *LimitError.
func New(tags, desired, reported map[string]any, at time.Time) (Twin, error) {
	err := errors.Join(
		check("tags", tags, MaxTagsSize),
		check("properties.desired", desired, MaxPropertiesSize),
		check("properties.reported", reported, MaxPropertiesSize),
	)
	if err != nil {
		return Twin{}, err
	}
	return Twin{Tags: tags, Desired: NewSection(desired, at), Reported: NewSection(reported, at), changes: 1}, nil
}

// ETag returns the twin's etag without quotes: it changes with tags and desired properties only.
func (t Twin) ETag() string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(t.changes))
	return base64.StdEncoding.EncodeToString(b[:])
}

// Version returns the twin's version, which is 2 after creation and counts the writes of tags and desired properties.
func (t Twin) Version() int64 { return t.changes + 1 }

// Change is what a request says about one section of a twin.
type Change struct {
	// Set is false if the request does not mention the section.
	Set bool
	// Values are the members of the section; nil if the request says null, which clears it (a guess: undocumented).
	Values map[string]any
}

// Patch is what a service's PATCH or PUT of a twin may change. Everything else in such a body is ignored, as the hub does.
type Patch struct {
	Tags, Desired Change
}

// ParsePatch reads the body of a PATCH or PUT.
func ParsePatch(body []byte) (Patch, error) {
	var document struct {
		Tags       json.RawMessage `json:"tags"`
		Properties struct {
			Desired json.RawMessage `json:"desired"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return Patch{}, fmt.Errorf("decoding twin: %w", err)
	}
	tags, err := parseChange("tags", document.Tags)
	if err != nil {
		return Patch{}, err
	}
	desired, err := parseChange("properties.desired", document.Properties.Desired)
	if err != nil {
		return Patch{}, err
	}
	return Patch{Tags: tags, Desired: desired}, nil
}

func parseChange(name string, text json.RawMessage) (Change, error) {
	if text == nil {
		return Change{}, nil
	}
	if string(text) == "null" {
		return Change{Set: true}, nil
	}
	values, err := DecodeObject(text)
	if err != nil {
		return Change{}, fmt.Errorf("%s: %w", name, err)
	}
	return Change{Set: true, Values: system(values)}, nil
}

// system removes what only the hub writes.
func system(values map[string]any) map[string]any {
	delete(values, "$metadata")
	delete(values, "$version")
	return values
}

// Apply returns the twin after a PATCH, or after a PUT if replace is set. The error is a *LimitError.
func (t Twin) Apply(p Patch, replace bool, at time.Time) (Twin, error) {
	if !p.Tags.Set && !p.Desired.Set {
		return t, nil
	}
	next := t
	next.changes++
	if p.Tags.Set {
		// Tags have neither versions nor metadata that anybody sees, but change by the same rules.
		tags := Section{Values: t.Tags, meta: &meta{}}
		next.Tags = tags.apply(p.Tags, replace, at).Values
		if err := check("tags", next.Tags, MaxTagsSize); err != nil {
			return t, err
		}
	}
	if p.Desired.Set {
		next.Desired = t.Desired.apply(p.Desired, replace, at)
		if err := check("properties.desired", next.Desired.Values, MaxPropertiesSize); err != nil {
			return t, err
		}
	}
	return next, nil
}

func (s Section) apply(c Change, replace bool, at time.Time) Section {
	if replace || c.Values == nil {
		return s.Replace(c.Values, at)
	}
	return s.Merge(c.Values, at)
}

// Report returns the twin after a device's patch of its reported properties. The error is a *LimitError.
func (t Twin) Report(patch map[string]any, at time.Time) (Twin, error) {
	next := t
	next.Reported = t.Reported.Merge(system(maps.Clone(patch)), at)
	if err := check("properties.reported", next.Reported.Values, MaxPropertiesSize); err != nil {
		return t, err
	}
	return next, nil
}

// AppendForDevice appends the answer to a device that asks for its twin.
func (t Twin) AppendForDevice(buf []byte) []byte {
	buf = append(buf, `{"desired":`...)
	buf = AppendForDevice(buf, t.Desired.Values, t.Desired.Version)
	buf = append(buf, `,"reported":`...)
	buf = AppendForDevice(buf, t.Reported.Values, t.Reported.Version)
	return append(buf, '}')
}
