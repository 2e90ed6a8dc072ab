package hubsim

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

// moduleDocument is a module as the registry's API shows and takes it.
type moduleDocument struct {
	ModuleID     string          `json:"moduleId"`
	ManagedBy    string          `json:"managedBy,omitempty"`
	DeviceID     string          `json:"deviceId"`
	GenerationID string          `json:"generationId"`
	ETag         string          `json:"etag"`
	Connection   string          `json:"connectionState"`
	StateUpdated string          `json:"connectionStateUpdatedTime"`
	LastActivity string          `json:"lastActivityTime"`
	Messages     int             `json:"cloudToDeviceMessageCount"`
	Auth         *authentication `json:"authentication,omitempty"`
}

func newModuleDocument(module *registry.Device) moduleDocument {
	v := module.View()
	d := document(v, module.Keys())
	return moduleDocument{
		ModuleID: v.ModuleID(), ManagedBy: v.Identity.ManagedBy, DeviceID: v.DeviceID(), GenerationID: d.GenerationID, ETag: d.ETag,
		Connection: d.Connection, StateUpdated: d.StateUpdated, LastActivity: d.LastActivity, Auth: d.Auth,
	}
}

func (s *Server) answerModule(w http.ResponseWriter, status int, module *registry.Device) {
	d := newModuleDocument(module)
	w.Header()["ETag"] = []string{strconv.Quote(d.ETag)}
	s.answerJSON(w, status, d)
}

func (s *Server) getModule(w http.ResponseWriter, _ *http.Request, id string) *failure {
	module, ok := s.registry.Get(id)
	if !ok {
		return s.moduleMissing(id)
	}
	s.answerModule(w, http.StatusOK, module)
	return nil
}

// listModules answers with all of a device's modules, which have no pages.
func (s *Server) listModules(w http.ResponseWriter, _ *http.Request, id string) *failure {
	if _, ok := s.registry.Get(id); !ok {
		return deviceNotFound(id)
	}
	list := []moduleDocument{}
	for _, module := range s.registry.ModulesOf(id) {
		list = append(list, newModuleDocument(module))
	}
	s.answerJSON(w, http.StatusOK, list)
	return nil
}

// putModule creates a module, or changes one if the request carries If-Match.
func (s *Server) putModule(w http.ResponseWriter, r *http.Request, id string) *failure {
	body, err := readBody(r, maxBody)
	if err != nil {
		return bodyFailure(err)
	}
	var wanted moduleDocument
	if err := json.Unmarshal(body, &wanted); err != nil {
		return argumentInvalid("The body is no module: %v", err)
	}
	device, module, _ := strings.Cut(id, "/")
	if wanted.DeviceID != "" && wanted.DeviceID != device || wanted.ModuleID != "" && wanted.ModuleID != module {
		return argumentInvalid("deviceId or moduleId is not that of the path")
	}
	identity, f := newIdentity("", nil, wanted.Auth)
	if f != nil {
		return f
	}
	identity.ManagedBy = wanted.ManagedBy
	if r.Header.Get("If-Match") != "" {
		if _, err := s.registry.Change(id, ifMatch(r), identity); err != nil {
			return s.moduleFailure(id, err)
		}
		return s.getModule(w, r, id)
	}
	created, err := s.registry.Create(id, identity)
	if err != nil {
		return s.moduleFailure(id, err)
	}
	s.answerModule(w, http.StatusCreated, created)
	return nil
}

func (s *Server) deleteModule(w http.ResponseWriter, r *http.Request, id string) *failure {
	if r.Header.Get("If-Match") == "" {
		return preconditionFailed("Etag missing")
	}
	if err := s.registry.Delete(id, ifMatch(r)); err != nil {
		return s.moduleFailure(id, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// moduleMissing tells a module that is not there from one whose device is not.
func (s *Server) moduleMissing(id string) *failure {
	device, module, _ := strings.Cut(id, "/")
	if _, ok := s.registry.Get(device); !ok {
		return deviceNotFound(device)
	}
	return &failure{
		status: http.StatusNotFound, name: "ModuleNotFound", number: 404010,
		text: "Module " + module + " not found on device " + device,
	}
}

func (s *Server) moduleFailure(id string, err error) *failure {
	switch {
	case errors.Is(err, registry.ErrExists):
		return &failure{
			status: http.StatusConflict, name: "ModuleAlreadyExistsOnDevice", number: 409301,
			text: "A module with ID '" + id + "' is already registered.",
		}
	case errors.Is(err, registry.ErrNotFound):
		return s.moduleMissing(id)
	default:
		return identityFailure(id, err)
	}
}
