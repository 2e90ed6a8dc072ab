package main

import "strings"

// checkSyntax reports what does not parse, and what the grammar takes although Bicep does not.
func (p *project) checkSyntax(f *file) {
	const rule = "syntax"
	if len(f.tree.named()) == 0 {
		p.fault(f, nil, rule, "the file is empty")
	}
	f.tree.walk(func(n *node) bool {
		switch {
		case n.Type == "ERROR":
			p.fault(f, n, rule, "cannot be parsed: %.40q", n.Text)
			return false
		case n.Missing:
			p.fault(f, n, rule, "%s is missing", n.Type)
		case n.Type == "assignment_expression":
			p.fault(f, n, rule, "an assignment is no expression: %.40q", n.Text)
		case n.Type == "string" && n.Line != n.EndLine && !strings.HasPrefix(n.Text, "'''"):
			p.fault(f, n, rule, "a string ends on its line: %.40q", n.Text)
			return false
		case n.Type == "object" || n.Type == "array":
			p.checkSeparators(f, n)
		}
		return true
	})
	last := 0
	for _, n := range f.tree.named() {
		if n.Line == last {
			p.fault(f, n, rule, "a statement begins on its own line")
		}
		last = n.EndLine
	}
}

// checkSeparators asks for a comma or a new line between two items.
func (p *project) checkSeparators(f *file, list *node) {
	var before *node
	comma := false
	for _, k := range list.Kids {
		switch {
		case k.Type == "comment" || k.Type == "decorators":
		case !k.Named:
			comma = comma || k.Text == ","
		default:
			if before != nil && !comma && before.EndLine == k.Line {
				p.fault(f, k, "syntax", "a comma or a new line is missing before %.40q", k.Text)
			}
			before, comma = k, false
		}
	}
}
