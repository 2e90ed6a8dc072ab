package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// prefix is where the API begins.
const prefix = "/api/"

// Placeholders of a route's path.
const (
	jobIDPart    = "{jobId}"
	runIDPart    = "{runId}"
	deviceIDPart = "{deviceId}"
	templatePart = "{templateId}"
)

// endpoint is one method of a route: the query parameters that it knows, and what it does.
type endpoint struct {
	params []string
	do     action
}

type route struct {
	path    []string // segments, placeholders in braces
	methods map[string]endpoint
}

// table lists everything that the API serves; openapi.yaml describes the same.
func (h *handler) table() []route {
	return []route{
		{[]string{"health"}, map[string]endpoint{
			http.MethodGet: {nil, h.alive},
		}},
		{[]string{"health", "details"}, map[string]endpoint{
			http.MethodGet: {nil, h.healthDetails},
		}},
		{[]string{"openapi.yaml"}, map[string]endpoint{
			http.MethodGet: {nil, h.openAPI},
		}},
		{[]string{"templates"}, map[string]endpoint{
			http.MethodGet: {[]string{"pageSize", "continuationToken"}, h.templates},
		}},
		{[]string{"templates", templatePart}, map[string]endpoint{
			http.MethodGet:    {nil, h.getTemplate},
			http.MethodPut:    {nil, h.putTemplate},
			http.MethodDelete: {nil, h.deleteTemplate},
		}},
		{[]string{"jobs"}, map[string]endpoint{
			http.MethodGet:  {[]string{"status", "type", "pageSize", "continuationToken"}, h.list},
			http.MethodPost: {[]string{"validateOnly"}, h.create},
		}},
		{[]string{"jobs", jobIDPart}, map[string]endpoint{
			http.MethodGet:    {nil, h.get},
			http.MethodPut:    {nil, h.put},
			http.MethodPatch:  {nil, h.edit},
			http.MethodDelete: {nil, h.remove},
		}},
		{[]string{"jobs", jobIDPart, "cancel"}, map[string]endpoint{
			http.MethodPost: {nil, h.cancel},
		}},
		{[]string{"jobs", jobIDPart, "pause"}, map[string]endpoint{
			http.MethodPost: {nil, h.pause},
		}},
		{[]string{"jobs", jobIDPart, "resume"}, map[string]endpoint{
			http.MethodPost: {nil, h.resume},
		}},
		{[]string{"jobs", jobIDPart, "approve"}, map[string]endpoint{
			http.MethodPost: {nil, h.approve},
		}},
		{[]string{"jobs", jobIDPart, "next-batch"}, map[string]endpoint{
			http.MethodPost: {nil, h.nextBatch},
		}},
		{[]string{"jobs", jobIDPart, "copy"}, map[string]endpoint{
			http.MethodPost: {nil, h.copyJob},
		}},
		{[]string{"jobs", jobIDPart, "rerun"}, map[string]endpoint{
			http.MethodPost: {nil, h.rerun},
		}},
		{[]string{"jobs", jobIDPart, "runs", runIDPart, "rerun"}, map[string]endpoint{
			http.MethodPost: {nil, h.rerun},
		}},
		{[]string{"jobs", jobIDPart, "executions", deviceIDPart, "cancel"}, map[string]endpoint{
			http.MethodPost: {[]string{"moduleId", hubParam}, h.cancelExecution},
		}},
		{[]string{"jobs", jobIDPart, "runs", runIDPart, "executions", deviceIDPart, "cancel"}, map[string]endpoint{
			http.MethodPost: {[]string{"moduleId", hubParam}, h.cancelExecution},
		}},
		{[]string{"jobs", jobIDPart, "result"}, map[string]endpoint{
			http.MethodGet: {nil, h.result},
		}},
		{[]string{"jobs", jobIDPart, "audit"}, map[string]endpoint{
			http.MethodGet: {[]string{"pageSize", "continuationToken"}, h.jobAudit},
		}},
		{[]string{"audit"}, map[string]endpoint{
			http.MethodGet: {[]string{"pageSize", "continuationToken"}, h.audit},
		}},
		{[]string{"jobs", jobIDPart, "run"}, map[string]endpoint{
			http.MethodPost: {nil, h.runNow},
		}},
		{[]string{"jobs", jobIDPart, "backfill"}, map[string]endpoint{
			http.MethodPost: {nil, h.backfill},
		}},
		{[]string{"jobs", jobIDPart, "nextRuns"}, map[string]endpoint{
			http.MethodGet: {[]string{"count"}, h.nextRuns},
		}},
		{[]string{"jobs", jobIDPart, "runs"}, map[string]endpoint{
			http.MethodGet: {[]string{"pageSize", "continuationToken"}, h.runs},
		}},
		{[]string{"jobs", jobIDPart, "runs", runIDPart}, map[string]endpoint{
			http.MethodGet: {nil, h.run},
		}},
		{[]string{"jobs", jobIDPart, "runs", runIDPart, "cancel"}, map[string]endpoint{
			http.MethodPost: {nil, h.cancelRun},
		}},
		{[]string{"jobs", jobIDPart, "runs", runIDPart, "pause"}, map[string]endpoint{
			http.MethodPost: {nil, h.pause},
		}},
		{[]string{"jobs", jobIDPart, "runs", runIDPart, "resume"}, map[string]endpoint{
			http.MethodPost: {nil, h.resume},
		}},
		{[]string{"jobs", jobIDPart, "runs", runIDPart, "approve"}, map[string]endpoint{
			http.MethodPost: {nil, h.approve},
		}},
		{[]string{"jobs", jobIDPart, "runs", runIDPart, "next-batch"}, map[string]endpoint{
			http.MethodPost: {nil, h.nextBatch},
		}},
		{[]string{"jobs", jobIDPart, "runs", runIDPart, "executions"}, map[string]endpoint{
			http.MethodGet: {[]string{"status", "pageSize", "continuationToken", "deviceId", "moduleId", hubParam}, h.executions},
		}},
		{[]string{"jobs", jobIDPart, "runs", runIDPart, "executions", deviceIDPart}, map[string]endpoint{
			http.MethodGet: {[]string{"moduleId", hubParam}, h.execution},
		}},
		{[]string{"jobs", jobIDPart, "executions"}, map[string]endpoint{
			http.MethodGet: {[]string{"status", "pageSize", "continuationToken", "deviceId", "moduleId", hubParam}, h.executions},
		}},
		{[]string{"jobs", jobIDPart, "executions", deviceIDPart}, map[string]endpoint{
			http.MethodGet: {[]string{"moduleId", hubParam}, h.execution},
		}},
	}
}

// route finds the action for r. There is no redirect: a path with a trailing slash is another path.
func (h *handler) route(r *http.Request) (action, *request, error) {
	segments, ok := split(r.URL.EscapedPath())
	if !ok {
		return nil, nil, problemOf(unknownPath, "there is nothing at this path")
	}
	for _, rt := range h.routes {
		q := &request{Request: r}
		if !rt.match(segments, q) {
			continue
		}
		r.Pattern = prefix + strings.Join(rt.path, "/") // for whoever names requests by their route
		e, ok := rt.methods[methodOf(r)]
		if !ok {
			p := problemOf(methodNotAllowed, r.Method+" is not allowed here; "+rt.allow()+" are")
			p.header.Set("Allow", rt.allow())
			return nil, nil, p
		}
		var err error
		q.query, err = parseParams(r.URL.RawQuery, e.params)
		return e.do, q, err
	}
	return nil, nil, problemOf(unknownPath, "there is nothing at this path")
}

// methodOf is the method whose endpoint serves r: HEAD is GET without the body.
func methodOf(r *http.Request) string {
	if r.Method == http.MethodHead {
		return http.MethodGet
	}
	return r.Method
}

// split gives the segments of an escaped path below prefix, each decoded once.
func split(escaped string) ([]string, bool) {
	rest, ok := strings.CutPrefix(escaped, prefix)
	if !ok {
		return nil, false
	}
	segments := strings.Split(rest, "/")
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil || decoded == "" {
			return nil, false
		}
		segments[i] = decoded
	}
	return segments, true
}

func (rt *route) match(segments []string, q *request) bool {
	if len(segments) != len(rt.path) {
		return false
	}
	for i, part := range rt.path {
		switch part {
		case jobIDPart:
			q.jobID = segments[i]
		case runIDPart:
			q.runID = segments[i]
		case templatePart:
			q.templateID = segments[i]
		case deviceIDPart:
			q.deviceID = segments[i]
		default:
			if part != segments[i] {
				return false
			}
		}
	}
	return true
}

// allow gives the value of an Allow header.
func (rt *route) allow() string {
	methods := slices.Collect(maps.Keys(rt.methods))
	if _, ok := rt.methods[http.MethodGet]; ok {
		methods = append(methods, http.MethodHead)
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}
