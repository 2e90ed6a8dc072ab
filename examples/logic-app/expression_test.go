package logicapp_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// scope is what the expressions of a run can refer to.
type scope struct {
	parameters map[string]any
	trigger    any
	run        string
	callback   string
	bodies     map[string]any // of the actions that have run
}

// resolve evaluates all expressions in a value: "@expression" gives what it gives, "text @{expression}" gives text
// (https://learn.microsoft.com/azure/logic-apps/logic-apps-workflow-definition-language#expressions).
func (s *scope) resolve(value any) (any, error) {
	switch value := value.(type) {
	case string:
		return s.resolveText(value)
	case map[string]any:
		out := map[string]any{}
		for name, member := range value {
			resolved, err := s.resolve(member)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			out[name] = resolved
		}
		return out, nil
	case []any:
		out := make([]any, len(value))
		for i, item := range value {
			resolved, err := s.resolve(item)
			if err != nil {
				return nil, err
			}
			out[i] = resolved
		}
		return out, nil
	default:
		return value, nil
	}
}

func (s *scope) resolveText(text string) (any, error) {
	if strings.HasPrefix(text, "@") && !strings.HasPrefix(text, "@{") && !strings.HasPrefix(text, "@@") {
		return s.evaluate(text[1:])
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "@{")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		expression, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, fmt.Errorf("%q has no end", rest)
		}
		value, err := s.evaluate(expression)
		if err != nil {
			return nil, err
		}
		fmt.Fprint(&out, value)
		text = after
	}
}

// evaluate knows the part of the language that the examples use.
func (s *scope) evaluate(expression string) (any, error) {
	p := &parser{scope: s, rest: expression}
	value, err := p.expression()
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = errors.New("more than an expression")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w, before %q", expression, err, p.rest)
	}
	return value, nil
}

type parser struct {
	scope *scope
	rest  string
}

var token = regexp.MustCompile(`^\s*(?:'((?:[^']|'')*)'|(\?\[|[\[\](),])|([A-Za-z]+))`)

// next takes a token: a text, a sign or a name. All are empty at the end.
func (p *parser) next() (text *string, sign, name string) {
	found := token.FindStringSubmatchIndex(p.rest)
	if found == nil {
		return nil, "", ""
	}
	part := func(i int) string {
		if found[i] < 0 {
			return ""
		}
		return p.rest[found[i]:found[i+1]]
	}
	if found[2] >= 0 {
		quoted := strings.ReplaceAll(part(2), "''", "'")
		text = &quoted
	}
	sign, name = part(4), part(6)
	p.rest = p.rest[found[1]:]
	return text, sign, name
}

func (p *parser) peek() string {
	at := p.rest
	_, sign, _ := p.next()
	p.rest = at
	return sign
}

func (p *parser) expression() (any, error) {
	value, err := p.primary()
	for err == nil && (p.peek() == "[" || p.peek() == "?[") {
		_, open, _ := p.next()
		var index any
		if index, err = p.expression(); err != nil {
			break
		}
		if _, sign, _ := p.next(); sign != "]" {
			return nil, errors.New("] expected")
		}
		members, _ := value.(map[string]any)
		found, there := members[fmt.Sprint(index)]
		if !there && open == "[" {
			return nil, fmt.Errorf("there is no %v", index)
		}
		value = found
	}
	return value, err
}

func (p *parser) primary() (any, error) {
	text, _, name := p.next()
	if text != nil {
		return *text, nil
	}
	if _, sign, _ := p.next(); name == "" || sign != "(" {
		return nil, errors.New("a text or a function expected")
	}
	var arguments []any
	for p.peek() != ")" {
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, value)
		if p.peek() == "," {
			p.next()
		} else if p.peek() != ")" {
			return nil, errors.New(") expected")
		}
	}
	p.next()
	return p.scope.call(name, arguments)
}

// call is the functions of https://learn.microsoft.com/azure/logic-apps/workflow-definition-language-functions-reference.
func (s *scope) call(function string, arguments []any) (any, error) {
	byName := func(all map[string]any) (any, error) {
		if len(arguments) == 1 {
			if value, there := all[fmt.Sprint(arguments[0])]; there {
				return value, nil
			}
		}
		return nil, fmt.Errorf("%s%v does not exist, or not yet", function, arguments)
	}
	switch function {
	case "parameters":
		return byName(s.parameters)
	case "body":
		return byName(s.bodies)
	case "triggerBody":
		return s.trigger, nil
	case "workflow":
		return map[string]any{"run": map[string]any{"name": s.run}}, nil
	case "listCallbackUrl":
		if s.callback == "" {
			return nil, errors.New("there is a callback URL in an HttpWebhook only")
		}
		return s.callback, nil
	case "coalesce":
		for _, value := range arguments {
			if value != nil {
				return value, nil
			}
		}
		return nil, nil
	default:
		return nil, fmt.Errorf("the function %s is not known", function)
	}
}
