package twin

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// The documented limits of twins.
const (
	MaxTagsSize       = 8 << 10  // bytes of all tags
	MaxPropertiesSize = 32 << 10 // bytes of desired and of reported properties, each
	MaxDepth          = 10       // nesting of objects
	MaxKeyLength      = 1 << 10  // bytes
	MaxStringLength   = 4 << 10  // bytes
	MinInteger        = -4503599627370496
	MaxInteger        = 4503599627370495
)

// LimitError says which limit a change would break, and where.
type LimitError struct {
	Path string // such as "tags.location.plant"
	Rule string
}

// Error returns path and rule.
func (e *LimitError) Error() string { return e.Path + ": " + e.Rule }

// check reports the first broken limit of a section; the error is a *LimitError.
func check(name string, values map[string]any, maxSize int) error {
	size, err := measure(name, values, 0)
	if err != nil {
		return err
	}
	if size > maxSize {
		return &LimitError{Path: name, Rule: fmt.Sprintf("its size of %d bytes exceeds %d", size, maxSize)}
	}
	return nil
}

// measure returns the size of a value as the hub counts it: bytes of keys and of strings without control characters, 8 for a
// number, 4 for a boolean.
func measure(path string, v any, depth int) (int, error) {
	switch v := v.(type) {
	case map[string]any:
		return measureObject(path, v, depth)
	case []any:
		size := 0
		for i, item := range v {
			n, err := measure(path+"["+strconv.Itoa(i)+"]", item, depth+1)
			if err != nil {
				return 0, err
			}
			size += n
		}
		return size, nil
	case string:
		if len(v) > MaxStringLength {
			return 0, &LimitError{Path: path, Rule: fmt.Sprintf("its string is longer than %d bytes", MaxStringLength)}
		}
		return textSize(v), nil
	case bool:
		return 4, nil
	case nil:
		return 0, nil
	case json.Number:
		return 8, checkNumber(path, v)
	default:
		return 8, nil
	}
}

func measureObject(path string, object map[string]any, depth int) (int, error) {
	if depth >= MaxDepth && len(object) > 0 {
		return 0, &LimitError{Path: path, Rule: fmt.Sprintf("objects are nested deeper than %d", MaxDepth)}
	}
	size := 0
	for key, v := range object {
		if err := checkKey(path, key); err != nil {
			return 0, err
		}
		n, err := measure(path+"."+key, v, depth+1)
		if err != nil {
			return 0, err
		}
		size += n + len(key)
	}
	return size, nil
}

func textSize(s string) int {
	size := 0
	for _, r := range s {
		if !unicode.IsControl(r) {
			size += len(string(r))
		}
	}
	return size
}

func checkKey(path, key string) error {
	switch {
	case key == "":
		return &LimitError{Path: path, Rule: "a key is empty"}
	case len(key) > MaxKeyLength:
		return &LimitError{Path: path, Rule: fmt.Sprintf("a key is longer than %d bytes", MaxKeyLength)}
	case strings.ContainsAny(key, ".$# "), strings.ContainsFunc(key, unicode.IsControl):
		return &LimitError{Path: path, Rule: fmt.Sprintf("the key %q holds a space, a control character, '.', '$' or '#'", key)}
	}
	return nil
}

func checkNumber(path string, n json.Number) error {
	text := n.String()
	if strings.ContainsAny(text, ".eE") {
		if _, err := n.Float64(); err != nil {
			return &LimitError{Path: path, Rule: "its number is out of range"}
		}
		return nil
	}
	if i, err := strconv.ParseInt(text, 10, 64); err != nil || i < MinInteger || i > MaxInteger {
		return &LimitError{Path: path, Rule: fmt.Sprintf("its integer is not between %d and %d", MinInteger, MaxInteger)}
	}
	return nil
}
