package twinquery

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// quotedString reads a string in single or double quotes. Documented escapes are \', \", \\ and \uXXXX.
func (l *lexer) quotedString(rest string) token {
	var content strings.Builder
	quote := rest[0]
	for i := 1; i < len(rest); {
		switch c := rest[i]; {
		case c == quote && strings.HasPrefix(rest[i+1:], string(quote)):
			l.note(Unknown{
				Kind: UnknownSyntax, Offset: l.pos + i, Text: rest[i : i+2],
				Reason: `the documented escape of a quote is a backslash before it`,
			})
			content.WriteByte(quote)
			i += 2
		case c == quote:
			t := l.take(tokString, i+1)
			t.str = content.String()
			if !utf8.ValidString(t.str) {
				return l.fault(t.pos, invalidUTF8())
			}
			return t
		case c == '\\':
			size, fault := l.escape(&content, rest[i:], l.pos+i)
			if fault != nil {
				return *fault
			}
			i += size
		default:
			content.WriteByte(c)
			i++
		}
	}
	return l.fault(l.pos, SyntaxError{
		Expected: "a string that ends with " + string(quote), Found: "a string without an end",
		Hint: "close the string, or write a quote inside it as \\" + string(quote),
	})
}

// escape reads the escape at the start of s, which stands at offset, and returns its length.
func (l *lexer) escape(content *strings.Builder, s string, offset int) (int, *token) {
	if len(s) < 2 {
		content.WriteByte('\\')
		return 1, nil
	}
	switch s[1] {
	case '\'', '"', '\\':
		content.WriteByte(s[1])
		return 2, nil
	case 'u':
		return l.unicodeEscape(content, s, offset)
	}
	_, size := utf8.DecodeRuneInString(s[1:])
	l.note(Unknown{
		Kind: UnknownSyntax, Offset: offset, Text: s[:1+size],
		Reason: `the documented escapes are \', \", \\ and \uXXXX; a backslash itself is written \\`,
	})
	content.WriteString(s[:1+size])
	return 1 + size, nil
}

func (l *lexer) unicodeEscape(content *strings.Builder, s string, offset int) (int, *token) {
	r, ok := codeUnit(s)
	if !ok {
		t := l.fault(offset, SyntaxError{Expected: `\u and four hexadecimal digits`, Found: strconv.Quote(s[:2])})
		return 0, &t
	}
	size := 6
	if utf16.IsSurrogate(r) {
		low, _ := codeUnit(s[size:])
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			size = 12
		}
	}
	content.WriteRune(r)
	return size, nil
}

// codeUnit reads \uXXXX at the start of s.
func codeUnit(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' || prefixLen(s[2:6], isHex) != 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
