package template

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Opening and closing of a placeholder. Twice the opening is the opening itself, as text.
const (
	opening = "{{"
	closing = "}}"
)

// Placeholder stands for a value: {{path}}, or {{path ?? default}}.
type Placeholder struct {
	// Path is what stands between the dots. A name with other characters than letters, digits, _ and - stands in [[ ]].
	Path []string
	// Default is a JSON string, number, true, false or null, nil without.
	Default json.RawMessage
	// Offset is where the placeholder begins in its string, in bytes.
	Offset int
}

// Name gives the path as it is written.
func (p *Placeholder) Name() string {
	names := make([]string, len(p.Path))
	for i, name := range p.Path {
		if names[i] = name; bare(name) < len(name) {
			names[i] = "[[" + name + "]]"
		}
	}
	return strings.Join(names, ".")
}

// String gives the placeholder as it is written.
func (p *Placeholder) String() string {
	if p.Default == nil {
		return opening + p.Name() + closing
	}
	return opening + p.Name() + " ?? " + string(p.Default) + closing
}

// Part is text or, if Placeholder is not nil, a placeholder.
type Part struct {
	Literal     string
	Placeholder *Placeholder
}

// Text is a string with placeholders, part by part: no two literals follow each other, and none is empty.
type Text []Part

// Alone gives the placeholder that is the whole text, nil if there is more or none.
func (t Text) Alone() *Placeholder {
	if len(t) != 1 {
		return nil
	}
	return t[0].Placeholder
}

// String gives the string that parses to t.
func (t Text) String() string {
	var b strings.Builder
	for _, p := range t {
		if p.Placeholder != nil {
			b.WriteString(p.Placeholder.String())
			continue
		}
		b.WriteString(strings.ReplaceAll(p.Literal, opening, opening+opening))
	}
	return b.String()
}

// Join gives parts as a Text, the literals that follow each other as one.
func Join(parts ...Part) Text {
	var t Text
	for _, p := range parts {
		switch last := len(t) - 1; {
		case p.Placeholder == nil && p.Literal == "":
		case p.Placeholder == nil && last >= 0 && t[last].Placeholder == nil:
			t[last].Literal += p.Literal
		default:
			t = append(t, p)
		}
	}
	return t
}

// SyntaxError says what is wrong with a placeholder, and where in its string.
type SyntaxError struct {
	Offset int // bytes
	Rule   string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("at %d: %s", e.Offset, e.Rule) }

// ParseText reads a string. Every error is a *SyntaxError.
func ParseText(s string) (Text, error) {
	var parts []Part
	for at := 0; at < len(s); {
		open := strings.Index(s[at:], opening)
		if open < 0 {
			parts = append(parts, Part{Literal: s[at:]})
			break
		}
		parts = append(parts, Part{Literal: s[at : at+open]})
		at += open
		switch braces := len(s[at:]) - len(strings.TrimLeft(s[at:], "{")); {
		case braces >= 2*len(opening):
			parts = append(parts, Part{Literal: opening})
			at += 2 * len(opening)
		case braces > len(opening): // a brace before a placeholder, as in {"n":{{tags.n}}} within a string
			parts = append(parts, Part{Literal: s[at : at+1]})
			at++
			fallthrough
		default:
			p := &parser{s: s, at: at + len(opening)}
			found, err := p.placeholder()
			if err != nil {
				return nil, err
			}
			found.Offset = at
			parts = append(parts, Part{Placeholder: found})
			at = p.at
		}
	}
	return Join(parts...), nil
}

// parser reads one placeholder behind its opening.
type parser struct {
	s  string
	at int
}

func (p *parser) fail(rule string) error { return &SyntaxError{Offset: p.at, Rule: rule} }

func (p *parser) rest() string { return p.s[p.at:] }

func (p *parser) space() { p.at = len(p.s) - len(strings.TrimLeft(p.rest(), " \t")) }

func (p *parser) skip(token string) bool {
	found := strings.HasPrefix(p.rest(), token)
	if found {
		p.at += len(token)
	}
	return found
}

func (p *parser) placeholder() (*Placeholder, error) {
	found := &Placeholder{}
	p.space()
	for first := true; first || p.skip("."); first = false {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		found.Path = append(found.Path, name)
	}
	p.space()
	if p.skip("??") {
		p.space()
		var err error
		if found.Default, err = p.scalar(); err != nil {
			return nil, err
		}
		p.space()
	}
	if !p.skip(closing) {
		return nil, p.fail(`must go on with }} (or, before it, with ?? and a default); a literal {{ is written {{{{`)
	}
	return found, nil
}

// bare is how much of s can stand in a path without brackets.
func bare(s string) int {
	n := strings.IndexFunc(s, func(c rune) bool {
		return c != '_' && c != '-' && !unicode.IsLetter(c) && !unicode.IsDigit(c) || c == utf8.RuneError
	})
	if n < 0 {
		return len(s)
	}
	return n
}

func (p *parser) name() (string, error) {
	if p.skip("[[") {
		n := strings.Index(p.rest(), "]]")
		if n < 1 {
			return "", p.fail("must be a name that ends with ]]")
		}
		name := p.rest()[:n]
		p.at += n + len("]]")
		return name, nil
	}
	n := bare(p.rest())
	if n == 0 {
		return "", p.fail("must be a path, such as tags.site; a name with other characters than letters, digits, _ and - stands in [[ ]]; a literal {{ is written {{{{")
	}
	name := p.rest()[:n]
	p.at += n
	return name, nil
}

// scalar reads a default: JSON, or text in single quotes.
func (p *parser) scalar() (json.RawMessage, error) {
	if p.skip("'") {
		return p.singleQuoted()
	}
	n := strings.IndexAny(p.rest(), " \t}")
	if strings.HasPrefix(p.rest(), `"`) {
		n = quoted(p.rest())
	}
	if n > 0 {
		var v any
		text := p.rest()[:n]
		if err := json.Unmarshal([]byte(text), &v); err == nil && !strings.ContainsAny(text[:1], "[{") {
			p.at += n
			return json.RawMessage(text), nil
		}
	}
	return nil, p.fail(`must be a default: a JSON string, a text in single quotes, a number, true, false or null`)
}

func (p *parser) singleQuoted() (json.RawMessage, error) {
	var text strings.Builder
	for rest := p.rest(); rest != ""; rest = p.rest() {
		switch {
		case rest[0] == '\'':
			p.at++
			return quote(text.String()), nil
		case strings.HasPrefix(rest, `\'`), strings.HasPrefix(rest, `\\`):
			p.at++
		}
		text.WriteByte(p.s[p.at])
		p.at++
	}
	return nil, p.fail("must end with '")
}

// quoted is the length of the JSON string that s begins with, 0 if it has no end.
func quoted[T string | json.RawMessage](s T) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}
