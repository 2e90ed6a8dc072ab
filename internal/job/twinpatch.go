package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// twin reads updateTwin: tags, desired properties, or both. deviceId, which Azure's SDKs send along, says nothing.
func (o *object) twin() *TwinUpdate {
	if !o.has("updateTwin") {
		o.fault("updateTwin", nil, "is required with type scheduleUpdateTwin")
		return nil
	}
	t := o.nested("updateTwin")
	if t == nil {
		return nil
	}
	before := len(*o.faults)
	t.only("etag", "tags", "properties", "deviceId")
	update := &TwinUpdate{ETag: t.text("etag")}
	if update.ETag != "" && update.ETag != "*" {
		t.fault("etag", t.members["etag"], `must be "*" or absent: a job updates whatever version it meets`)
	}
	update.Tags = t.patch("tags", MaxTagsBytes)
	if p := t.nested("properties"); p != nil {
		p.only("desired")
		if desired := p.patch("desired", MaxDesiredBytes); desired != nil {
			update.Properties = &TwinProperties{Desired: desired}
		}
	}
	if update.Tags == nil && update.Properties == nil && len(*o.faults) == before {
		t.fault("", nil, "must hold tags, properties.desired, or both")
	}
	return update
}

// patch reads a merge patch and checks it against the limits of a twin
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins#device-twin-size).
func (o *object) patch(name string, limit int) json.RawMessage {
	if !o.has(name) {
		return nil
	}
	text := compact(o.members[name])
	switch {
	case text[0] != '{':
		o.fault(name, text, "must be a JSON object")
		return nil
	case len(text) > MaxPatchText:
		o.fault(name, nil, fmt.Sprintf("has %d bytes of JSON; must have at most %d", len(text), MaxPatchText))
		return nil
	}
	r := &patchReader{d: json.NewDecoder(bytes.NewReader(text)), faults: o.faults}
	r.d.UseNumber()
	before := len(*o.faults)
	if size := r.value(o.field(name), 0); size > limit && before == len(*o.faults) {
		o.fault(name, nil, fmt.Sprintf("counts %d bytes; a twin holds at most %d", size, limit))
	}
	return text
}

// patchReader walks through a merge patch that is valid JSON.
type patchReader struct {
	d      *json.Decoder
	faults *Faults
}

// value reads the value at path, depth objects below the root of the patch, and gives its size as IoT Hub counts it: keys
// and strings by their bytes without control characters, 8 a number, 4 a bool.
func (r *patchReader) value(path string, depth int) int {
	token, err := r.d.Token()
	if err != nil {
		return 0 // cannot be: the text is valid
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '[' {
			return r.array(path, depth)
		}
		if depth == MaxTwinDepth+1 {
			r.faults.add(path, "", fmt.Sprintf("nests deeper than %d objects", MaxTwinDepth))
		}
		return r.object(path, depth)
	case string:
		if len(v) > MaxTwinString {
			r.faults.add(path, "", fmt.Sprintf("a string must have at most %d bytes; this one has %d", MaxTwinString, len(v)))
		}
		return counted(v)
	case json.Number:
		if !twinNumber(v.String()) {
			r.faults.add(path, v.String(), fmt.Sprintf("an integer must be from %d to %d, another number fit 64 bits",
				MinTwinInteger, MaxTwinInteger))
		}
		return 8
	case bool:
		return 4
	}
	return 0
}

func (r *patchReader) object(path string, depth int) int {
	size := 0
	seen := map[string]bool{}
	for r.d.More() {
		token, err := r.d.Token()
		key, _ := token.(string)
		if err != nil {
			return size // cannot be: the text is valid
		}
		at := below(path, "."+shown(key))
		switch {
		case !twinKey(key):
			r.faults.add(at, "", fmt.Sprintf("a key must have 1 to %d bytes, and no control character, space, '.', '$' or '#'", MaxTwinKeyBytes))
		case seen[key]:
			r.faults.add(at, "", "stands twice in the object")
		}
		seen[key] = true
		size += counted(key) + r.value(at, depth+1)
	}
	_, _ = r.d.Token() // the closing brace of valid text
	return size
}

func (r *patchReader) array(path string, depth int) int {
	size := 0
	for i := 0; r.d.More(); i++ {
		size += r.value(below(path, fmt.Sprintf("[%d]", i)), depth)
	}
	_, _ = r.d.Token() // the closing bracket of valid text
	return size
}

// below extends a path unless it is longer than anybody reads.
func below(path, step string) string {
	if len(path) > 4*shownValue {
		return path
	}
	return path + step
}

func counted(text string) int {
	size := len(text)
	for _, c := range text {
		if unicode.IsControl(c) {
			size -= len(string(c))
		}
	}
	return size
}

func twinKey(key string) bool {
	return key != "" && len(key) <= MaxTwinKeyBytes && !strings.ContainsFunc(key, func(c rune) bool {
		return unicode.IsControl(c) || strings.ContainsRune(" .$#", c)
	})
}

func twinNumber(text string) bool {
	if strings.ContainsAny(text, ".eE") {
		_, err := strconv.ParseFloat(text, 64)
		return err == nil
	}
	i, err := strconv.ParseInt(text, 10, 64)
	return err == nil && i >= MinTwinInteger && i <= MaxTwinInteger
}
