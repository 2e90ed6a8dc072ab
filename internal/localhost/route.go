package localhost

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// route is an HTTP function's route template with its methods, as ASP.NET Core matches it: literals ignore case,
// parameters take one segment, {x?} and {x=default} may be missing at the end, {*rest} takes what is left.
// See https://learn.microsoft.com/aspnet/core/fundamentals/routing.
type route struct {
	template string
	segments []segment
	methods  []string // upper case; nil = all
	level    string   // anonymous, function or admin
}

// segment is one part of a template between slashes: a literal, or a parameter.
type segment struct {
	literal    string
	parameter  string
	constraint string
	fallback   string // of {x=fallback}
	optional   bool
	catchAll   bool
}

// newRoute builds the route of an HTTP function.
func newRoute(fn *function, prefix string, env environment) (*route, error) {
	own := fn.name
	if fn.trigger.Route != nil {
		resolved, err := env.resolve(*fn.trigger.Route)
		if err != nil {
			return nil, err
		}
		own = resolved
	}
	own = strings.Trim(own, "/")
	for _, reserved := range []string{"admin", "runtime"} {
		if strings.HasPrefix(strings.ToLower(own), reserved) {
			return nil, fmt.Errorf("route %q: the host refuses routes that start with %s", own, reserved)
		}
	}
	r, err := parseTemplate(strings.Trim(prefix+"/"+own, "/"))
	if err != nil {
		return nil, err
	}
	for _, method := range fn.trigger.Methods {
		r.methods = append(r.methods, strings.ToUpper(method))
	}
	r.level = strings.ToLower(fn.trigger.AuthLevel)
	switch r.level {
	case "":
		r.level = levelFunction
	case levelAnonymous, levelFunction, levelAdmin:
	default:
		return nil, fmt.Errorf("authLevel %q is not anonymous, function or admin", fn.trigger.AuthLevel)
	}
	return r, nil
}

// parseTemplate parses a route template without leading slash. It refuses what this stand-in does not implement.
func parseTemplate(template string) (*route, error) {
	r := &route{template: template}
	if template == "" {
		return r, nil
	}
	names := map[string]bool{}
	parts := strings.Split(template, "/")
	for i, part := range parts {
		s, err := parseSegment(part)
		if err != nil {
			return nil, fmt.Errorf("route %q: %w", template, err)
		}
		if last := i == len(parts)-1; s.catchAll && !last {
			return nil, fmt.Errorf("route %q: %s must come last", template, part)
		}
		if i > 0 && r.segments[i-1].omittable() && !s.omittable() {
			return nil, fmt.Errorf("route %q: %s follows a part that may be missing", template, part)
		}
		if name := strings.ToLower(s.parameter); name != "" {
			if names[name] {
				return nil, fmt.Errorf("route %q: parameter %s occurs twice", template, s.parameter)
			}
			names[name] = true
		}
		r.segments = append(r.segments, s)
	}
	return r, nil
}

func parseSegment(part string) (segment, error) {
	if part == "" {
		return segment{}, fmt.Errorf("empty segment")
	}
	if !strings.ContainsAny(part, "{}*?") {
		return segment{literal: part}, nil
	}
	match := regexp.MustCompile(`^\{(\*{0,2})([A-Za-z_][A-Za-z0-9_]*)(?::([a-z]+))?(?:(\?)|=([^{}?]*))?\}$`).FindStringSubmatch(part)
	if match == nil {
		return segment{}, fmt.Errorf("segment %s is not supported", part)
	}
	s := segment{
		parameter: match[2], constraint: match[3], fallback: match[5],
		optional: match[4] != "", catchAll: match[1] != "",
	}
	if !slices.Contains([]string{"", "int", "long", "bool", "guid", "alpha"}, s.constraint) {
		return segment{}, fmt.Errorf("constraint %s is not supported", s.constraint)
	}
	return s, nil
}

func (s segment) omittable() bool {
	return s.optional || s.catchAll || s.fallback != ""
}

// match returns the parameters if the escaped URL path fits the template.
func (r *route) match(escapedPath string) (map[string]string, bool) {
	values, ok := pathSegments(escapedPath)
	if !ok {
		return nil, false
	}
	params := map[string]string{}
	for i, s := range r.segments {
		switch {
		case s.catchAll:
			rest := strings.Join(values[min(i, len(values)):], "/")
			if rest == "" {
				rest = s.fallback
			} else if !satisfies(s.constraint, rest) {
				return nil, false
			}
			params[s.parameter] = rest
			return params, true
		case i >= len(values):
			if !s.omittable() {
				return nil, false
			}
			if s.fallback != "" {
				params[s.parameter] = s.fallback
			}
		case s.parameter == "":
			if !strings.EqualFold(s.literal, values[i]) {
				return nil, false
			}
		case values[i] == "" || !satisfies(s.constraint, values[i]):
			return nil, false
		default:
			params[s.parameter] = values[i]
		}
	}
	if len(values) > len(r.segments) {
		return nil, false
	}
	return params, true
}

// pathSegments splits and unescapes a path; an escaped slash stays escaped, as in ASP.NET Core.
func pathSegments(escapedPath string) ([]string, bool) {
	path := strings.TrimSuffix(strings.TrimPrefix(escapedPath, "/"), "/")
	if path == "" {
		return nil, true
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		value, err := url.PathUnescape(part)
		if err != nil {
			return nil, false
		}
		parts[i] = strings.ReplaceAll(value, "/", "%2F")
	}
	return parts, true
}

func satisfies(constraint, value string) bool {
	switch constraint {
	case "int":
		_, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32)
		return err == nil
	case "long":
		_, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		return err == nil
	case "bool":
		return strings.EqualFold(value, "true") || strings.EqualFold(value, "false")
	case "guid":
		_, err := uuid.Parse(value)
		return err == nil && !strings.HasPrefix(strings.ToLower(value), "urn:")
	case "alpha":
		return !strings.ContainsFunc(value, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
		})
	default:
		return true
	}
}

func (r *route) allows(method string) bool {
	return r.methods == nil || slices.Contains(r.methods, method)
}

// conflicts reports whether two functions have the same template and a method in common, which the host refuses.
func (r *route) conflicts(other *route) bool {
	if !strings.EqualFold(r.template, other.template) {
		return false
	}
	return r.methods == nil || other.methods == nil || slices.ContainsFunc(r.methods, other.allows)
}

// findRoute returns the first HTTP function, in the given order, whose route and methods fit. A method that no
// function allows is therefore "not found".
func findRoute(functions []*function, method, escapedPath string) (*function, map[string]string) {
	for _, fn := range functions {
		if fn.route == nil || fn.disabled || !fn.route.allows(method) {
			continue
		}
		if params, ok := fn.route.match(escapedPath); ok {
			return fn, params
		}
	}
	return nil, nil
}
