package localhost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// compactJSON marshals as Json.NET does: no escaping of <, > and &.
func compactJSON(value any) (string, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", fmt.Errorf("encoding JSON: %w", err)
	}
	return strings.TrimSuffix(buffer.String(), "\n"), nil
}

// doubled is the host's encoding of a string, number, boolean or list in Data and Metadata: a JSON string that
// holds JSON text.
func doubled(value any) (string, error) {
	return compactJSON(value)
}

// wholeSeconds is the host's encoding of a time in Metadata.
func wholeSeconds(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05-07:00")
}

// ticks is .NET's round-trip format of a time with offset: up to seven digits of a second.
func ticks(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.9999999-07:00")
}

// ticksZulu is .NET's round-trip format of a UTC time.
func ticksZulu(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.9999999Z")
}

// scalarText is .NET's invariant text of a JSON scalar: "True", shortest numbers, and strings that look like ISO
// dates rewritten as MM/dd/yyyy HH:mm:ss, which is what Json.NET's date detection does to them.
func scalarText(value any) string {
	switch v := value.(type) {
	case string:
		if t, ok := isoDate(v); ok {
			return t.UTC().Format("01/02/2006 15:04:05")
		}
		return v
	case bool:
		if v {
			return "True"
		}
		return "False"
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			return v.String()
		}
		if f, err := v.Float64(); err == nil {
			return strconv.FormatFloat(f, 'G', -1, 64)
		}
		return v.String()
	default:
		return fmt.Sprint(v)
	}
}

// isoDate recognises what Json.NET turns into a date when it reads a string.
func isoDate(text string) (time.Time, bool) {
	if len(text) < len("2006-01-02T15:04:05") || text[10] != 'T' || !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)?$`).MatchString(text) {
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
