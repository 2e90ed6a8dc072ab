package hubapi

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/hubauth"
)

// action carries a request out.
type action func(ctx context.Context, r *request) (*answer, error)

// endpoint is what serves a request: an action of ours, or nil for the hub.
type endpoint struct {
	needs hubauth.Grants
	do    action
}

// route finds what serves r, and the id of the job that the path names.
func (h *handler) route(r *http.Request) (e endpoint, jobID string, err error) {
	segments, ok := split(r.URL.EscapedPath())
	if !ok {
		return e, "", notFound()
	}
	if r.Method == http.MethodHead {
		return e, "", methodNotAllowed()
	}
	if len(segments) > 2 && segments[0] == "jobs" && segments[1] == "v2" {
		return h.jobRoute(r, segments[2:])
	}
	if len(segments) == 2 && segments[0] == "devices" && segments[1] == "query" && r.Method == http.MethodPost {
		r.Pattern = "/devices/query"
		return endpoint{hubauth.JobsRead, h.query}, "", nil
	}
	needs := hubPermission(r.Method, segments)
	if !h.opts.PassThrough || needs == 0 {
		return e, "", notFound()
	}
	r.Pattern = "/" + segments[0] + "/..."
	return endpoint{needs: needs}, "", nil
}

// jobRoute routes what stands below jobs/v2.
func (h *handler) jobRoute(r *http.Request, rest []string) (endpoint, string, error) {
	var e endpoint
	switch {
	case len(rest) == 1 && rest[0] == "query" && r.Method == http.MethodGet:
		r.Pattern = "/jobs/v2/query"
		return endpoint{hubauth.JobsRead, h.list}, "", nil
	case len(rest) == 1 && r.Method == http.MethodGet:
		e = endpoint{hubauth.JobsRead, h.get}
	case len(rest) == 1 && r.Method == http.MethodPut:
		e = endpoint{hubauth.JobsWrite, h.create}
	case len(rest) == 2 && rest[1] == "cancel" && r.Method == http.MethodPost:
		r.Pattern = "/jobs/v2/{jobId}/cancel"
		return endpoint{hubauth.JobsWrite, h.cancel}, rest[0], nil
	case len(rest) == 1, len(rest) == 2 && rest[1] == "cancel":
		return e, "", methodNotAllowed()
	default:
		return e, "", notFound()
	}
	r.Pattern = "/jobs/v2/{jobId}"
	return e, rest[0], nil
}

// split gives the segments of an escaped path, each decoded once. Segments that somebody on the way may resolve or read as
// others are refused: what is admitted here must be what the hub acts on. One slash may end a path: the SDK for .NET sends
// /devices/ where others send /devices
// (https://github.com/Azure/azure-iot-sdk-csharp/blob/main/iothub/service/src/HttpRegistryManager.cs).
func split(escaped string) ([]string, bool) {
	segments := strings.Split(strings.TrimSuffix(strings.TrimPrefix(escaped, "/"), "/"), "/")
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil || decoded == "" || decoded == "." || decoded == ".." || strings.ContainsAny(decoded, `/\`) {
			return nil, false
		}
		segments[i] = decoded
	}
	return segments, true
}

// hubPermission gives what a hub asks for a request, 0 for one that is not passed through. IoT Hub's documentation lists the
// permissions of operations by kind, not by path
// (https://learn.microsoft.com/azure/iot-hub/authenticate-authorize-sas#access-control-and-permissions).
func hubPermission(method string, segments []string) hubauth.Grants {
	registry := hubauth.RegistryWrite
	if method == http.MethodGet {
		registry = hubauth.RegistryRead
	}
	switch segments[0] {
	case "twins", "digitaltwins":
		return hubauth.ServiceConnect
	case "devices":
		// What devices do themselves is no business of a service client, however much the app's own policy may do.
		if len(segments) > 2 && slices.Contains([]string{"messages", "files"}, strings.ToLower(segments[2])) {
			return 0
		}
		return registry
	case "configurations":
		return registry
	case "jobs": // imports and exports of the registry; jobs/v2 is ours
		return hubauth.RegistryWrite
	case "statistics":
		if len(segments) == 2 && segments[1] == "service" {
			return hubauth.ServiceConnect
		}
		return hubauth.RegistryRead
	}
	return 0
}

// version is the form of IoT Hub's api-versions. Later ones than today's are taken: what is served does not depend on it.
var version = regexp.MustCompile(`^20[1-9][0-9]-[01][0-9]-[0-3][0-9](-preview)?$`)

func knownVersion(v string) bool { return version.MatchString(v) }
