package hubsim

import (
	"net/http"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

// route finds the action for the segments of a path.
func (s *Server) route(method string, segments []string) (action, *failure) {
	var a action
	known := false
	switch {
	case segments[0] == "twins" && len(segments) >= 2:
		a, known = routeTwin(method, segments[1], segments[2:])
	case segments[0] == "devices":
		a, known = routeDevices(method, segments[1:])
	case segments[0] == "jobs" && len(segments) >= 3 && segments[1] == "v2" && s.jobs != nil:
		a, known = routeJobs(method, segments[2], segments[3:])
	case segments[0] == "statistics" && len(segments) == 2:
		a, known = routeStatistics(method, segments[1])
	}
	switch {
	case !known:
		return a, &failure{status: http.StatusNotFound, name: "InvalidOperation", number: 404000, text: "No HTTP resource was found."}
	case a.run == nil:
		return a, &failure{
			status: http.StatusMethodNotAllowed, name: "GenericMethodNotAllowed",
			text: "The requested resource does not support http method '" + method + "'.",
		}
	}
	return a, nil
}

func routeTwin(method, id string, rest []string) (a action, known bool) {
	if len(rest) >= 2 && rest[0] == "modules" {
		id, rest = registry.ModuleID(id, rest[1]), rest[2:]
	}
	switch {
	case len(rest) == 0:
		a = action{op: fault.TwinUpdate, needed: serviceConnect, id: id}
		switch method {
		case http.MethodGet:
			a.op, a.run = fault.TwinRead, (*Server).getTwin
		case http.MethodPatch:
			a.run = (*Server).patchTwin
		case http.MethodPut:
			a.run = (*Server).putTwin
		}
		return a, true
	case len(rest) == 1 && rest[0] == "methods":
		a = action{op: fault.Methods, needed: serviceConnect, id: id}
		if method == http.MethodPost {
			a.run = (*Server).invokeMethod
		}
		return a, true
	}
	return a, false
}

func routeDevices(method string, rest []string) (a action, known bool) {
	switch {
	case len(rest) == 0:
		return routeAllDevices(method), true
	case len(rest) == 1 && rest[0] == "query" && method == http.MethodPost:
		return action{op: fault.Query, needed: serviceConnect, run: (*Server).query}, true
	case len(rest) == 1:
		return routeDevice(method, rest[0]), true
	case len(rest) == 2 && rest[1] == "commands":
		a = action{op: fault.Registry, needed: serviceConnect, id: rest[0]}
		if method == http.MethodDelete {
			a.run = (*Server).purgeCommands
		}
		return a, true
	case len(rest) == 2 && rest[1] == "modules":
		a = action{op: fault.Registry, needed: registryRead, id: rest[0]}
		if method == http.MethodGet {
			a.run = (*Server).listModules
		}
		return a, true
	case len(rest) == 3 && rest[1] == "modules":
		return routeModule(method, registry.ModuleID(rest[0], rest[2])), true
	}
	return a, false
}

func routeModule(method, id string) action {
	a := action{op: fault.Registry, needed: registryWrite, id: id}
	switch method {
	case http.MethodGet:
		a.needed, a.run = registryRead, (*Server).getModule
	case http.MethodPut:
		a.run = (*Server).putModule
	case http.MethodDelete:
		a.run = (*Server).deleteModule
	}
	return a
}

func routeAllDevices(method string) action {
	a := action{op: fault.Registry, needed: registryRead}
	switch method {
	case http.MethodGet:
		a.run = (*Server).listDevices
	case http.MethodPost:
		a.needed, a.run = registryWrite, (*Server).bulk
	}
	return a
}

func routeDevice(method, id string) action {
	a := action{op: fault.Registry, needed: registryWrite, id: id}
	switch method {
	case http.MethodGet:
		a.needed, a.run = registryRead, (*Server).getDevice
	case http.MethodPut:
		a.run = (*Server).putDevice
	case http.MethodDelete:
		a.run = (*Server).deleteDevice
	}
	return a
}

// routeJobs needs the permission ServiceConnect, which is a guess: the documentation names none.
func routeJobs(method, id string, rest []string) (a action, known bool) {
	a = action{op: fault.Jobs, needed: serviceConnect}
	switch {
	case len(rest) == 1 && rest[0] == "cancel":
		if method == http.MethodPost {
			a.run = withID(id, (*Server).cancelJob)
		}
		return a, true
	case len(rest) > 0:
		return a, false
	case id == "query" && method == http.MethodGet:
		a.run = (*Server).listJobs
	case method == http.MethodGet:
		a.run = withID(id, (*Server).getJob)
	case method == http.MethodPut:
		a.run = withID(id, (*Server).putJob)
	}
	return a, true
}

type handler func(s *Server, w http.ResponseWriter, r *http.Request, id string) *failure

// withID gives a handler an id that is not that of a device.
func withID(id string, run handler) handler {
	return func(s *Server, w http.ResponseWriter, r *http.Request, _ string) *failure { return run(s, w, r, id) }
}

func routeStatistics(method, kind string) (a action, known bool) {
	a = action{op: fault.Registry, needed: registryRead}
	run := map[string]handler{
		"devices": (*Server).deviceStatistics, "service": (*Server).serviceStatistics,
	}[kind]
	if method == http.MethodGet {
		a.run = run
	}
	return a, run != nil
}
