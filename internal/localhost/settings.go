package localhost

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// environment is the set of variables that the host and its handler see, later entries winning.
type environment []string

// lookup finds a setting by name, exactly first and then ignoring case, as .NET configuration does.
func (e environment) lookup(name string) (string, bool) {
	for _, same := range []func(string) bool{
		func(key string) bool { return key == name },
		func(key string) bool { return strings.EqualFold(key, name) },
	} {
		for _, entry := range slices.Backward(e) {
			if key, value, ok := strings.Cut(entry, "="); ok && same(key) {
				return value, true
			}
		}
	}
	return "", false
}

// resolve replaces every %NAME% by the setting of that name. The error names the first one that is missing.
func (e environment) resolve(text string) (string, error) {
	parts := strings.Split(text, "%")
	if len(parts)%2 == 0 {
		return "", fmt.Errorf("unbalanced %% in %q", text)
	}
	for i := 1; i < len(parts); i += 2 {
		value, ok := e.lookup(parts[i])
		if !ok {
			return "", fmt.Errorf("'%%%s%%' does not resolve to a value", parts[i])
		}
		parts[i] = value
	}
	return strings.Join(parts, ""), nil
}

// flatten turns a JSON document into .NET configuration keys: lower case, joined by colons, array items by index.
func flatten(document []byte) (map[string]string, error) {
	var root map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(document)))
	decoder.UseNumber()
	if err := decoder.Decode(&root); err != nil {
		return nil, fmt.Errorf("parsing JSON: %w", err)
	}
	flat := map[string]string{}
	flattenInto(flat, "", root)
	return flat, nil
}

func flattenInto(flat map[string]string, path string, value any) {
	join := func(key string) string {
		return strings.TrimPrefix(path+":"+strings.ToLower(key), ":")
	}
	switch v := value.(type) {
	case map[string]any:
		for key, member := range v {
			flattenInto(flat, join(key), member)
		}
	case []any:
		for i, item := range v {
			flattenInto(flat, join(strconv.Itoa(i)), item)
		}
	case nil:
	default:
		flat[path] = fmt.Sprint(v)
	}
}

// override applies app settings named AzureFunctionsJobHost__a__b, which replace host.json's a.b.
func (e environment) override(flat map[string]string) {
	const prefix = "azurefunctionsjobhost__"
	for _, entry := range e {
		key, value, _ := strings.Cut(entry, "=")
		if rest, ok := strings.CutPrefix(strings.ToLower(key), prefix); ok {
			flat[strings.ReplaceAll(rest, "__", ":")] = value
		}
	}
}

// timeSpan parses .NET's constant format, [-][d.]hh:mm[:ss[.fffffff]]. A bare number means days in .NET, and hours
// of 24 and more are read as days; both are refused here, since nobody means that.
func timeSpan(text string) (time.Duration, error) {
	bad := func() (time.Duration, error) {
		return 0, fmt.Errorf("%q is not a time span of the form [d.]hh:mm:ss[.fffffff]", text)
	}
	rest, negative := strings.CutPrefix(text, "-")
	days := 0
	if head, tail, ok := strings.Cut(rest, "."); ok && !strings.Contains(head, ":") {
		n, err := strconv.ParseUint(head, 10, 16)
		if err != nil {
			return bad()
		}
		days, rest = int(n), tail
	}
	fields := strings.Split(rest, ":")
	if len(fields) != 2 && len(fields) != 3 {
		return bad()
	}
	total := time.Duration(days) * 24 * time.Hour
	for i, unit := range []struct {
		size  time.Duration
		limit int64
	}{{time.Hour, 24}, {time.Minute, 60}, {time.Second, 60}} {
		if i == len(fields) {
			break
		}
		field, fraction, hasFraction := strings.Cut(fields[i], ".")
		n, err := strconv.ParseInt(field, 10, 16)
		if err != nil || n < 0 || n >= unit.limit || len(field) > 2 || field[0] == '+' {
			return bad()
		}
		total += time.Duration(n) * unit.size
		if !hasFraction {
			continue
		}
		ticks, err := strconv.ParseUint((fraction + "0000000")[:7], 10, 32)
		if err != nil || unit.size != time.Second || fraction == "" || len(fraction) > 7 {
			return bad()
		}
		total += time.Duration(ticks) * 100
	}
	if negative {
		total = -total
	}
	return total, nil
}
