package twinquery

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxLength is the greatest length of a whole query in characters that IoT Hub accepts.
const MaxLength = 8192

// MaxDepth is the greatest nesting of parentheses, lists, calls and prefix operators that the parser accepts. It is a limit
// of this package, not of IoT Hub.
const MaxDepth = 200

// SyntaxError says why a text cannot be a query, and where.
type SyntaxError struct {
	Offset   int    // bytes before the fault
	Line     int    // from 1
	Column   int    // from 1, in characters
	Found    string // what stands there, quoted, or "end of text"
	Expected string // what should stand there
	Hint     string // what to write instead; may be empty
}

// Error returns one line: position, expectation, finding and, where there is one, the hint.
func (e *SyntaxError) Error() string {
	msg := fmt.Sprintf("%d:%d: expected %s, found %s", e.Line, e.Column, e.Expected, e.Found)
	if e.Hint != "" {
		msg += "; hint: " + e.Hint
	}
	return msg
}

// UnknownKind tells the kinds of [Unknown] apart.
type UnknownKind int

const (
	// UnknownFunction is a call of a function that is neither documented nor observed in twin queries.
	UnknownFunction UnknownKind = iota
	// UnknownSyntax is a construct outside the documented grammar, such as a doubled quote inside a string.
	UnknownSyntax
	// UnknownField is a path that begins with a name no twin has; IoT Hub accepts it and it matches nothing.
	UnknownField
)

// String returns "function", "syntax" or "field".
func (k UnknownKind) String() string {
	switch k {
	case UnknownFunction:
		return "function"
	case UnknownSyntax:
		return "syntax"
	case UnknownField:
		return "field"
	default:
		return fmt.Sprintf("UnknownKind(%d)", int(k))
	}
}

// Unknown is a construct that the parser can read but does not know to be part of the language.
type Unknown struct {
	Kind   UnknownKind
	Offset int    // bytes before it
	Line   int    // from 1
	Column int    // from 1, in characters
	Text   string // the construct as written, or its telling part
	Reason string // why it is listed, and what to write instead if known
}

// String returns one line with position, text and reason.
func (u Unknown) String() string {
	return fmt.Sprintf("%d:%d: unknown %s %s: %s", u.Line, u.Column, u.Kind, u.Text, u.Reason)
}

// position turns a byte offset into a line and a column in characters, both from 1.
func position(text string, offset int) (line, column int) {
	before := text[:offset]
	line = 1 + strings.Count(before, "\n")
	if i := strings.LastIndexByte(before, '\n'); i >= 0 {
		before = before[i+1:]
	}
	return line, 1 + utf8.RuneCountInString(before)
}

func newError(text string, offset int, e SyntaxError) *SyntaxError {
	e.Offset = offset
	e.Line, e.Column = position(text, offset)
	return &e
}
