package hubsim

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

// deviceDocument is a device as the registry's API shows and takes it.
type deviceDocument struct {
	DeviceID      string          `json:"deviceId"`
	GenerationID  string          `json:"generationId"`
	ETag          string          `json:"etag"`
	Connection    string          `json:"connectionState"`
	Status        string          `json:"status"`
	StatusReason  *string         `json:"statusReason"`
	StateUpdated  string          `json:"connectionStateUpdatedTime"`
	StatusUpdated string          `json:"statusUpdatedTime"`
	LastActivity  string          `json:"lastActivityTime"`
	Messages      int             `json:"cloudToDeviceMessageCount"`
	Auth          *authentication `json:"authentication,omitempty"`
	Capabilities  capabilities    `json:"capabilities"`
	Scope         string          `json:"deviceScope,omitempty"`
	ParentScopes  []string        `json:"parentScopes"`
}

type authentication struct {
	SymmetricKey *registry.Keys       `json:"symmetricKey"`
	Thumbprint   registry.Thumbprints `json:"x509Thumbprint"`
	Type         string               `json:"type"`
}

type capabilities struct {
	IotEdge bool `json:"iotEdge"`
}

// identityTime writes times as the registry does, which names no zone.
func identityTime(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00"
	}
	return t.UTC().Format("2006-01-02T15:04:05.0000000")
}

func document(v registry.View, keys registry.Keys) deviceDocument {
	d := deviceDocument{
		DeviceID: v.ID, GenerationID: strconv.FormatInt(v.Generation, 10), ETag: v.IdentityETag(),
		Connection: v.ConnectionState(), Status: v.Identity.Status(),
		StateUpdated: identityTime(v.StateChanged), StatusUpdated: identityTime(v.Identity.StatusUpdated),
		LastActivity: identityTime(v.LastActivity),
		Auth:         &authentication{Thumbprint: v.Identity.Thumbprints, Type: v.Identity.Authentication()},
		Capabilities: capabilities{IotEdge: v.Identity.EdgeCapable}, Scope: v.Identity.Scope, ParentScopes: []string{},
	}
	if v.Identity.StatusReason != "" {
		d.StatusReason = &v.Identity.StatusReason
	}
	if d.Auth.Type == "sas" {
		d.Auth.SymmetricKey = &keys
	} else {
		d.Auth.SymmetricKey = &registry.Keys{}
	}
	return d
}

// answerJSON writes what can always be encoded.
func (s *Server) answerJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.fail(w, serverError(http.StatusInternalServerError))
		return
	}
	s.answer(w, status, body)
}

func (s *Server) answerDevice(w http.ResponseWriter, device *registry.Device) {
	v := device.View()
	w.Header()["ETag"] = []string{`"` + v.IdentityETag() + `"`}
	s.answerJSON(w, http.StatusOK, document(v, device.Keys()))
}

func (s *Server) getDevice(w http.ResponseWriter, _ *http.Request, id string) *failure {
	device, ok := s.registry.Get(id)
	if !ok {
		return deviceNotFound(id)
	}
	s.answerDevice(w, device)
	return nil
}

const maxListed = 1000

func (s *Server) listDevices(w http.ResponseWriter, r *http.Request, _ string) *failure {
	top, err := strconv.Atoi(r.URL.Query().Get("top"))
	if err != nil || top < 1 || top > maxListed {
		top = maxListed
	}
	list := []deviceDocument{}
	for _, device := range s.registry.Sorted() {
		if len(list) == top {
			break
		}
		if _, exists := s.registry.Get(device.ID()); exists {
			list = append(list, document(device.View(), device.Keys()))
		}
	}
	s.answerJSON(w, http.StatusOK, list)
	return nil
}

// putDevice creates a device, or changes one if the request carries If-Match.
func (s *Server) putDevice(w http.ResponseWriter, r *http.Request, id string) *failure {
	body, err := readBody(r, maxBody)
	if err != nil {
		return bodyFailure(err)
	}
	var wanted deviceDocument
	if err := json.Unmarshal(body, &wanted); err != nil {
		return argumentInvalid("The body is no device: %v", err)
	}
	if wanted.DeviceID != "" && wanted.DeviceID != id {
		return argumentInvalid("deviceId is not that of the path")
	}
	identity, f := newIdentity(wanted.Status, wanted.StatusReason, wanted.Auth)
	if f != nil {
		return f
	}
	identity.EdgeCapable, identity.Scope = wanted.Capabilities.IotEdge, wanted.Scope
	if r.Header.Get("If-Match") == "" {
		return s.createDevice(w, id, identity)
	}
	if _, err := s.registry.Change(id, ifMatch(r), identity); err != nil {
		return identityFailure(id, err)
	}
	return s.getDevice(w, r, id)
}

func (s *Server) createDevice(w http.ResponseWriter, id string, identity registry.Identity) *failure {
	device, err := s.registry.Create(id, identity)
	if err != nil {
		return identityFailure(id, err)
	}
	s.answerDevice(w, device)
	return nil
}

// newIdentity checks the writable members of a device.
func newIdentity(status string, reason *string, auth *authentication) (registry.Identity, *failure) {
	identity := registry.Identity{}
	switch strings.ToLower(status) {
	case "", "enabled":
	case "disabled":
		identity.Disabled = true
	default:
		return identity, argumentInvalid("status must be enabled or disabled")
	}
	if reason != nil {
		if len(*reason) > 128 {
			return identity, argumentInvalid("statusReason must not be longer than 128 characters")
		}
		identity.StatusReason = *reason
	}
	if auth == nil {
		return identity, nil
	}
	switch auth.Type {
	case "", "sas", "selfSigned", "certificateAuthority", "none":
		identity.AuthType = auth.Type
	default:
		return identity, argumentInvalid("authentication.type must be sas, selfSigned, certificateAuthority or none")
	}
	identity.Thumbprints = auth.Thumbprint
	if k := auth.SymmetricKey; k != nil && (k.Primary != "" || k.Secondary != "") {
		if !registry.ValidKey(k.Primary) || !registry.ValidKey(k.Secondary) {
			return identity, argumentInvalid("both symmetric keys must be base64 of 16 to 64 bytes")
		}
		identity.Keys = k
	}
	return identity, nil
}

func identityFailure(id string, err error) *failure {
	switch {
	case errors.Is(err, registry.ErrExists):
		return &failure{
			status: http.StatusConflict, name: "DeviceAlreadyExists", number: 409001,
			text: "A device with ID '" + id + "' is already registered.",
		}
	case errors.Is(err, registry.ErrNotFound):
		return deviceNotFound(id)
	case errors.Is(err, registry.ErrPrecondition):
		return preconditionFailed("PreconditionFailed")
	default:
		return argumentInvalid("%v", err)
	}
}

func (s *Server) deleteDevice(w http.ResponseWriter, r *http.Request, id string) *failure {
	if r.Header.Get("If-Match") == "" {
		return preconditionFailed("Etag missing")
	}
	if err := s.registry.Delete(id, ifMatch(r)); err != nil {
		return identityFailure(id, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) purgeCommands(w http.ResponseWriter, _ *http.Request, id string) *failure {
	if _, ok := s.registry.Get(id); !ok {
		return deviceNotFound(id)
	}
	s.answerJSON(w, http.StatusOK, map[string]any{"totalMessagesPurged": 0, "deviceId": id, "moduleId": nil})
	return nil
}

func (s *Server) deviceStatistics(w http.ResponseWriter, _ *http.Request, _ string) *failure {
	total, disabled := 0, 0
	for device := range s.registered() {
		total++
		if device.Disabled() {
			disabled++
		}
	}
	s.answerJSON(w, http.StatusOK, map[string]int{
		"totalDeviceCount": total, "enabledDeviceCount": total - disabled, "disabledDeviceCount": disabled,
	})
	return nil
}

func (s *Server) serviceStatistics(w http.ResponseWriter, _ *http.Request, _ string) *failure {
	connected := 0
	for device := range s.registered() {
		if v := device.View(); v.Connected {
			connected++
		}
	}
	s.answerJSON(w, http.StatusOK, map[string]int{"connectedDeviceCount": connected})
	return nil
}
