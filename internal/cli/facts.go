package cli

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
)

// fact is a member of a JSON object as a line for people.
type fact struct{ name, value string }

// facts gives the members of a JSON object that told does not name, in the order in which the service sent them. So a
// member that is new to the service is shown without the program knowing it. Nothing is said of what is empty, 0 or false.
func facts(raw json.RawMessage, told ...string) []fact {
	var all []fact
	for _, m := range members(raw) {
		if slices.Contains(told, m.name) {
			continue
		}
		if value := inWords(m.name, m.value); value != "" && value != "0" {
			all = append(all, fact{plain(spaced(m.name)), cutTo(plain(value), 500)})
		}
	}
	return all
}

type member struct {
	name  string
	value json.RawMessage
}

// members gives the members of a JSON object in their order, none of what is no object.
func members(raw json.RawMessage) []member {
	var all []member
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return all
		}
		text, ok := name.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil || !ok {
			return all
		}
		all = append(all, member{text, value})
	}
	return all
}

// spaced writes the name of a member in words: maintenance window.
func spaced(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// inWords writes the value of a member as "name value, name value" with the names that the API has, what is inside in brackets.
// What goes to devices, or came from them, stays JSON.
func inWords(name string, raw json.RawMessage) string {
	if slices.Contains([]string{"payload", "tags", "desired"}, name) {
		return compact(raw)
	}
	switch text := compact(raw); {
	case text == "" || text == "null" || text == "false" || text == `""`:
		return ""
	case text == "true":
		return "yes"
	case text[0] == '"':
		var s string
		_ = json.Unmarshal(raw, &s) // it was valid
		return s
	case text[0] == '{':
		return objectInWords(raw)
	case text[0] == '[':
		return listInWords(raw)
	default:
		return text
	}
}

func objectInWords(raw json.RawMessage) string {
	var parts []string
	for _, m := range members(raw) {
		value := inWords(m.name, m.value)
		switch {
		case value == "":
		case value == "yes":
			parts = append(parts, m.name)
		case m.value[0] == '{' || m.value[0] == '[':
			parts = append(parts, m.name+" ("+value+")")
		default:
			parts = append(parts, m.name+" "+value)
		}
	}
	return strings.Join(parts, ", ")
}

func listInWords(raw json.RawMessage) string {
	var list []json.RawMessage
	_ = json.Unmarshal(raw, &list) // it was valid
	parts := make([]string, len(list))
	for i, item := range list {
		if parts[i] = inWords("", item); parts[i] == "" {
			parts[i] = compact(item)
		}
	}
	return strings.Join(parts, "; ")
}

// compact writes JSON without white space, "" for none.
func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return ""
	}
	return b.String()
}
