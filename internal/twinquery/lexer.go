package twinquery

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	tokEnd    tokenKind = iota
	tokFault            // the text cannot be read from here on; err says why
	tokName             // a keyword, a function name or a path element
	tokQuoted           // a path element in double brackets
	tokString
	tokNumber
	tokSymbol
)

type token struct {
	kind tokenKind
	pos  int
	text string  // as written
	str  string  // tokString, tokQuoted: the content
	num  float64 // tokNumber
	err  *SyntaxError
}

func (t token) is(symbol string) bool { return t.kind == tokSymbol && t.text == symbol }

func (t token) isWord(word string) bool { return t.kind == tokName && strings.EqualFold(t.text, word) }

func (t token) found() string {
	if t.kind == tokEnd {
		return "end of text"
	}
	return strconv.Quote(t.text)
}

// lexer cuts text into tokens. It stops at the first fault, which becomes the last token, so that a parser that fails
// earlier reports the earlier fault.
type lexer struct {
	text    string
	pos     int
	tokens  []token
	unknown []Unknown
}

func newUnknown(text string, u Unknown) Unknown {
	u.Line, u.Column = position(text, u.Offset)
	return u
}

func (l *lexer) run() []token {
	for {
		l.skipSpace()
		t := l.next()
		l.tokens = append(l.tokens, t)
		if t.kind == tokEnd || t.kind == tokFault {
			return l.tokens
		}
	}
}

func (l *lexer) skipSpace() {
	l.pos += len(l.text[l.pos:]) - len(strings.TrimLeft(l.text[l.pos:], " \t\r\n"))
}

// last returns the token before the current position.
func (l *lexer) last() token {
	if len(l.tokens) == 0 {
		return token{}
	}
	return l.tokens[len(l.tokens)-1]
}

func (l *lexer) next() token {
	rest := l.text[l.pos:]
	if rest == "" {
		return token{kind: tokEnd, pos: l.pos}
	}
	r, size := utf8.DecodeRuneInString(rest)
	afterDot := l.last().is(".")
	fraction := r == '.' && len(rest) > 1 && isDigit(rune(rest[1])) && !l.touchesElement()
	switch {
	case isNameStart(r) || afterDot && isDigit(r):
		return l.take(tokName, size+prefixLen(rest[size:], isNamePart))
	case afterDot && strings.HasPrefix(rest, "[["):
		return l.quotedName(rest)
	case isDigit(r) || fraction:
		return l.number(rest)
	case r == '\'' || r == '"':
		return l.quotedString(rest)
	default:
		return l.symbol(rest)
	}
}

// touchesElement reports whether a name ends at the current position, so that a dot here goes on with a path.
func (l *lexer) touchesElement() bool {
	t := l.last()
	return t.isElement() && t.pos+len(t.text) == l.pos
}

func (t token) isElement() bool { return t.kind == tokName || t.kind == tokQuoted }

func (l *lexer) take(kind tokenKind, size int) token {
	t := token{kind: kind, pos: l.pos, text: l.text[l.pos : l.pos+size]}
	l.pos += size
	return t
}

func (l *lexer) fault(offset int, e SyntaxError) token {
	err := newError(l.text, offset, e)
	return token{kind: tokFault, pos: offset, text: e.Found, err: err}
}

func (l *lexer) quotedName(rest string) token {
	end := strings.Index(rest, "]]")
	if end <= 2 {
		return l.fault(l.pos, SyntaxError{Expected: `a name in double brackets, such as [[group]]`, Found: `"[["`})
	}
	name := rest[2:end]
	if i := strings.IndexFunc(name, unicode.IsControl); i >= 0 {
		return l.fault(l.pos+2+i, SyntaxError{Expected: "a name without control characters", Found: strconv.QuoteToASCII(name[i : i+1])})
	}
	if !utf8.ValidString(name) {
		return l.fault(l.pos, invalidUTF8())
	}
	t := l.take(tokQuoted, end+2)
	t.str = name
	return t
}

func invalidUTF8() SyntaxError {
	return SyntaxError{Expected: "UTF-8 text", Found: "bytes that are not UTF-8"}
}

func (l *lexer) number(rest string) token {
	hex := len(rest) > 1 && rest[0] == '0' && (rest[1] == 'x' || rest[1] == 'X')
	size, exponent := decimalLen(rest)
	if hex {
		size, exponent = 2+prefixLen(rest[2:], isHex), false
	}
	if tail := prefixLen(rest[size:], isNamePart); tail > 0 || hex && size == 2 {
		return l.fault(l.pos, SyntaxError{Expected: "a number", Found: strconv.Quote(rest[:size+tail])})
	}
	t := l.take(tokNumber, size)
	var err error
	if hex {
		var n uint64
		n, err = strconv.ParseUint(t.text[2:], 16, 64)
		t.num = float64(n)
	} else {
		t.num, err = strconv.ParseFloat(t.text, 64)
	}
	if err != nil {
		return l.fault(t.pos, SyntaxError{Expected: "a number in range", Found: strconv.Quote(t.text)})
	}
	if exponent {
		l.note(Unknown{Kind: UnknownSyntax, Offset: t.pos, Text: t.text, Reason: "the documented numbers have no exponent"})
	}
	return t
}

// decimalLen measures digits, an optional fraction and an optional exponent.
func decimalLen(s string) (size int, exponent bool) {
	size = prefixLen(s, isDigit)
	if frac := strings.TrimPrefix(s[size:], "."); len(frac) < len(s[size:]) && prefixLen(frac, isDigit) > 0 {
		size += 1 + prefixLen(frac, isDigit)
	}
	exp := s[size:]
	if exp == "" || exp[0] != 'e' && exp[0] != 'E' {
		return size, false
	}
	sign := 1
	if len(exp) > 1 && (exp[1] == '+' || exp[1] == '-') {
		sign = 2
	}
	digits := prefixLen(exp[sign:], isDigit)
	if digits == 0 {
		return size, false
	}
	return size + sign + digits, true
}

func (l *lexer) symbol(rest string) token {
	for _, s := range []string{"==", "&&", "||", "!=", "<>", "<=", ">="} {
		if !strings.HasPrefix(rest, s) {
			continue
		}
		if expected, hint := otherLanguage(s); hint != "" {
			return l.fault(l.pos, SyntaxError{Expected: expected, Found: strconv.Quote(s), Hint: hint})
		}
		return l.take(tokSymbol, 2)
	}
	if strings.IndexByte("()[],.=<>+-*/%", rest[0]) >= 0 {
		return l.take(tokSymbol, 1)
	}
	r, size := utf8.DecodeRuneInString(rest)
	if r == utf8.RuneError && size == 1 {
		return l.fault(l.pos, invalidUTF8())
	}
	e := SyntaxError{Expected: "a name, a value or an operator", Found: strconv.QuoteToGraphic(rest[:size])}
	switch {
	case r == '!':
		e.Expected, e.Hint = `"!="`, "negation is written NOT"
	case r == ';':
		e.Expected, e.Hint = "the end of the text", "leave the semicolon out"
	case strings.ContainsRune("‘’“”`´", r):
		e.Hint = `strings stand in straight quotes, 'like this' or "like this"`
	case l.last().isElement() || l.last().is("."):
		e.Hint = "a name with other characters than letters, digits, _ and $ stands in double brackets, such as tags.[[my-name]]"
	}
	return l.fault(l.pos, e)
}

// otherLanguage knows the operators of other languages.
func otherLanguage(op string) (expected, hint string) {
	switch op {
	case "==":
		return `"="`, `equality is written with one "="`
	case "&&":
		return "AND", "write AND"
	case "||":
		return "OR", "write OR"
	default:
		return "", ""
	}
}

func (l *lexer) note(u Unknown) { l.unknown = append(l.unknown, newUnknown(l.text, u)) }

func prefixLen(s string, ok func(rune) bool) int {
	if i := strings.IndexFunc(s, func(r rune) bool { return !ok(r) }); i >= 0 {
		return i
	}
	return len(s)
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

func isHex(r rune) bool { return isDigit(r) || 'a' <= r|0x20 && r|0x20 <= 'f' }

func isNameStart(r rune) bool {
	return r == '_' || r == '$' || unicode.IsLetter(r)
}

func isNamePart(r rune) bool {
	return isNameStart(r) || unicode.IsDigit(r) || unicode.Is(unicode.M, r)
}

// isPlainName reports whether a name needs no double brackets.
func isPlainName(name string, afterDot bool) bool {
	r, size := utf8.DecodeRuneInString(name)
	if !isNameStart(r) && !(afterDot && isDigit(r)) || isKeyword(name) {
		return false
	}
	return prefixLen(name[size:], isNamePart) == len(name)-size
}

// isKeyword reports whether a bare name is a word of the documented grammar.
func isKeyword(name string) bool {
	switch strings.ToUpper(name) {
	case "SELECT", "FROM", "WHERE", "GROUP", "BY", "AS", "TOP", "AND", "OR", "NOT", "IN", "NIN",
		"NULL", "UNDEFINED", "TRUE", "FALSE":
		return true
	default:
		return false
	}
}
