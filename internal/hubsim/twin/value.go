package twin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Decode reads one JSON value and nothing after it. Numbers keep their text as json.Number.
func Decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, fmt.Errorf("decoding JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decoding JSON: text after the value")
	}
	return v, nil
}

// DecodeObject is [Decode] for an object.
func DecodeObject(text []byte) (map[string]any, error) {
	v, err := Decode(text)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("decoding JSON: want an object")
	}
	return object, nil
}

// AppendValue appends the JSON of a value, the keys of its objects in order. It takes what encoding/json takes, but is quick
// only about decoded JSON and Go's own numbers.
func AppendValue(buf []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(buf, "null"...)
	case bool:
		return strconv.AppendBool(buf, v)
	case string:
		return AppendString(buf, v)
	case json.Number:
		return append(buf, v...)
	case int:
		return strconv.AppendInt(buf, int64(v), 10)
	case int64:
		return strconv.AppendInt(buf, v, 10)
	case map[string]any:
		return appendObject(buf, v)
	case []any:
		buf = append(buf, '[')
		for i, item := range v {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = AppendValue(buf, item)
		}
		return append(buf, ']')
	default:
		return appendAny(buf, v)
	}
}

func appendObject(buf []byte, object map[string]any) []byte {
	buf = append(buf, '{')
	buf, _ = appendMembers(buf, object, false)
	return append(buf, '}')
}

// appendMembers appends the members without braces; comma says whether something stands before them.
func appendMembers(buf []byte, object map[string]any, comma bool) ([]byte, bool) {
	for _, key := range sortedKeys(object) {
		if comma {
			buf = append(buf, ',')
		}
		comma = true
		buf = append(AppendString(buf, key), ':')
		buf = AppendValue(buf, object[key])
	}
	return buf, comma
}

func sortedKeys[V any](object map[string]V) []string {
	keys := make([]string, 0, 16)
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// AppendString appends a JSON string.
func AppendString(buf []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendAny(buf, s)
		}
	}
	buf = append(buf, '"')
	buf = append(buf, s...)
	return append(buf, '"')
}

// appendAny leaves the rare cases to encoding/json; what that cannot encode is null, which callers exclude by decoding first.
func appendAny(buf []byte, v any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return append(buf, "null"...)
	}
	return append(buf, bytes.TrimRight(out.Bytes(), "\n")...)
}
