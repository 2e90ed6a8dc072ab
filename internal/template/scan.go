package template

import (
	"encoding/json"
	"strconv"
	"strings"
)

// found is a string of a JSON text, with its quotes, and where it stands.
type found struct {
	from, to int
	key      bool
	levels   []level
}

// level is one object or array around a string.
type level struct {
	object bool
	index  int    // of an array
	key    string // of an object, with its quotes, as it is written
	value  bool   // an object's key has been read
}

func (s found) unquoted(raw json.RawMessage) string {
	var text string
	if err := json.Unmarshal(raw[s.from:s.to], &text); err != nil {
		return "" // cannot be: the text is valid
	}
	return text
}

// text gives the parts of a string with placeholders or escapes, nil for others, or the rule that it breaks.
func (s found) text(raw json.RawMessage) (Text, string) {
	if !Holds(raw[s.from:s.to]) {
		return nil, ""
	}
	text := s.unquoted(raw)
	switch {
	case !strings.Contains(text, opening):
		return nil, ""
	case s.key:
		return nil, "a key can hold neither a placeholder nor {{"
	}
	parts, err := ParseText(text)
	if err != nil {
		return nil, err.Error()
	}
	return parts, ""
}

// path gives where a string stands, as in .door[0].
func (s found) path() string {
	var b strings.Builder
	for _, l := range s.levels {
		if !l.object {
			b.WriteString("[" + strconv.Itoa(l.index) + "]")
			continue
		}
		var key string
		if json.Unmarshal([]byte(l.key), &key) == nil && l.value {
			b.WriteString("." + key)
		}
	}
	return b.String()
}

// scan calls visit for each string of raw, which is valid JSON. The levels that it gives are its own.
func scan(raw json.RawMessage, visit func(found)) {
	var levels []level
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			levels = append(levels, level{object: raw[i] == '{'})
		case '}', ']':
			levels = levels[:len(levels)-1]
		case ',':
			l := &levels[len(levels)-1]
			l.index++
			l.value = false
		case ':':
			levels[len(levels)-1].value = true
		case '"':
			s := found{from: i, to: i + quoted(raw[i:]), levels: levels}
			if n := len(levels); n > 0 && levels[n-1].object && !levels[n-1].value {
				s.key = true
				levels[n-1].key = string(raw[s.from:s.to])
			}
			visit(s)
			i = s.to - 1
		}
	}
}
