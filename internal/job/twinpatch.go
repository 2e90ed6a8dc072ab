package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// twin reads updateTwin: tags, desired properties, or both.
func (o *object) twin() *TwinUpdate {
	if !o.has("updateTwin") {
		o.fault("updateTwin", nil, "is required with type scheduleUpdateTwin")
		return nil
	}
	t := o.nested("updateTwin")
	if t == nil {
		return nil
	}
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
	if update.Tags == nil && update.Properties == nil {
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
	d := json.NewDecoder(bytes.NewReader(o.members[name]))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		o.fault(name, o.members[name], "must be JSON")
		return nil
	}
	root, ok := value.(map[string]any)
	if !ok {
		o.fault(name, o.members[name], "must be a JSON object")
		return nil
	}
	before := len(*o.faults)
	size := o.patchSize(name, root, 1)
	if size > limit && before == len(*o.faults) {
		o.fault(name, nil, fmt.Sprintf("counts %d bytes; a twin holds at most %d", size, limit))
	}
	return o.members[name]
}

// patchSize gives the size as IoT Hub counts it: keys and strings by their bytes, 8 a number, 4 a bool.
func (o *object) patchSize(path string, value any, depth int) int {
	if depth > MaxTwinDepth+1 {
		o.fault(path, nil, fmt.Sprintf("nests deeper than %d objects", MaxTwinDepth))
		return 0
	}
	size := 0
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			member := v[key]
			if !twinKey(key) {
				o.fault(path+"."+shown(key), nil, "a key must have 1 to 1024 bytes, and no control character, space, '.', '$' or '#'")
			}
			size += len(key) + o.patchSize(path+"."+key, member, depth+1)
		}
	case []any:
		for i, member := range v {
			size += o.patchSize(fmt.Sprintf("%s[%d]", path, i), member, depth)
		}
	case string:
		if len(v) > 4<<10 {
			o.fault(path, nil, fmt.Sprintf("a string must have at most 4096 bytes; this one has %d", len(v)))
		}
		size = len(v)
	case json.Number:
		size = 8
		if !twinNumber(v) {
			o.fault(path, json.RawMessage(v.String()), "an integer must be from -4503599627370496 to 4503599627370495")
		}
	case bool:
		size = 4
	}
	return size
}

func twinKey(key string) bool {
	return key != "" && len(key) <= 1024 && utf8.ValidString(key) && !strings.ContainsFunc(key, func(c rune) bool {
		return c < ' ' || c >= 0x7f && c < 0xa0 || c == ' ' || c == '.' || c == '$' || c == '#'
	})
}

func twinNumber(n json.Number) bool {
	if strings.ContainsAny(n.String(), ".eE") {
		return true
	}
	i, err := n.Int64()
	return err == nil && i >= -4503599627370496 && i <= 4503599627370495
}
