package hubsim

import (
	"errors"
	"net/http"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/twin"
)

func (s *Server) getTwin(w http.ResponseWriter, _ *http.Request, id string) *failure {
	device, ok := s.registry.Get(id)
	if !ok {
		return deviceNotFound(id)
	}
	v := device.View()
	s.answer(w, http.StatusOK, v.AppendTwin(nil))
	return nil
}

func (s *Server) patchTwin(w http.ResponseWriter, r *http.Request, id string) *failure {
	return s.updateTwin(w, r, id, false)
}

func (s *Server) putTwin(w http.ResponseWriter, r *http.Request, id string) *failure {
	return s.updateTwin(w, r, id, true)
}

func (s *Server) updateTwin(w http.ResponseWriter, r *http.Request, id string, replace bool) *failure {
	body, err := readBody(r, maxBody)
	if err != nil {
		return bodyFailure(err)
	}
	device, ok := s.registry.Get(id)
	if !ok {
		return deviceNotFound(id)
	}
	patch, err := twin.ParsePatch(body)
	if err != nil {
		return argumentInvalid("%v", err)
	}
	v, err := device.Update(patch, replace, ifMatch(r))
	if err != nil {
		return twinFailure(id, err)
	}
	s.updated(id)
	s.answer(w, http.StatusOK, v.AppendTwin(nil))
	return nil
}

// updated counts a change of a twin.
func (s *Server) updated(id string) {
	s.counters.updated.Add(1)
	s.journal.add(fault.TwinUpdate, id, "")
}

func twinFailure(id string, err error) *failure {
	switch {
	case errors.Is(err, registry.ErrPrecondition):
		return preconditionFailed("ETag mismatch for device ID '" + id + "'")
	case errors.Is(err, registry.ErrNotFound):
		return deviceNotFound(id)
	default:
		return argumentInvalid("%v", err)
	}
}

// ifMatch returns the etag that a request demands, without quotes; empty for any.
func ifMatch(r *http.Request) string { return condition(r.Header.Get("If-Match")) }

// condition returns an etag without quotes; empty if it stands for any.
func condition(etag string) string {
	etag = strings.Trim(strings.TrimSpace(etag), `"`)
	if etag == "*" {
		return ""
	}
	return etag
}
