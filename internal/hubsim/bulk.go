package hubsim

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/twin"
)

// bulkDevice is one operation of a bulk request (ExportImportDevice).
type bulkDevice struct {
	ID           string          `json:"id"`
	ETag         string          `json:"eTag"`
	Mode         string          `json:"importMode"`
	Status       string          `json:"status"`
	StatusReason *string         `json:"statusReason"`
	Auth         *authentication `json:"authentication"`
	TwinETag     string          `json:"twinETag"`
	Tags         json.RawMessage `json:"tags"`
	Properties   json.RawMessage `json:"properties"`
	Capabilities capabilities    `json:"capabilities"`
	Scope        string          `json:"deviceScope"`
}

// bulkError is what became of one operation.
type bulkError struct {
	DeviceID string `json:"deviceId"`
	// Code is a number: the published description says text, but existing clients read a number.
	Code      int    `json:"errorCode"`
	Status    string `json:"errorStatus"`
	ModuleID  string `json:"moduleId,omitempty"`
	Operation string `json:"operation"`
}

const maxBulk = 100

func (s *Server) bulk(w http.ResponseWriter, r *http.Request, _ string) *failure {
	body, err := readBody(r, 8*maxBody)
	if err != nil {
		return bodyFailure(err)
	}
	var devices []bulkDevice
	if err := json.Unmarshal(body, &devices); err != nil {
		return argumentInvalid("The body is no list of devices: %v", err)
	}
	if len(devices) > maxBulk {
		return &failure{
			status: http.StatusRequestEntityTooLarge, name: "TooManyDevices", number: 413002,
			text: "A bulk operation takes 100 devices at most.",
		}
	}
	seen := map[string]bool{}
	for _, d := range devices {
		if seen[d.ID] {
			return &failure{status: http.StatusBadRequest, name: "DeviceDefinedMultipleTimes", number: 400011, text: d.ID}
		}
		seen[d.ID] = true
	}
	errs := []bulkError{}
	for _, d := range devices {
		if f := s.applyBulk(d); f != nil {
			errs = append(errs, bulkError{DeviceID: d.ID, Code: f.number, Status: f.name + ": " + f.text, Operation: d.Mode})
		}
	}
	status := http.StatusOK
	if len(errs) > 0 {
		status = http.StatusBadRequest
		w.Header().Set("iothub-errorcode", "BulkRegistryOperationFailure")
	}
	s.answerJSON(w, status, map[string]any{"isSuccessful": len(errs) == 0, "errors": errs, "warnings": []any{}})
	return nil
}

// applyBulk carries out one operation. Modes are matched in any case, since clients differ.
func (s *Server) applyBulk(d bulkDevice) *failure {
	if !registry.ValidID(d.ID) {
		return argumentInvalid("%q is no device id", d.ID)
	}
	etag, twinETag := condition(d.ETag), condition(d.TwinETag)
	switch strings.ToLower(d.Mode) {
	case "create":
		return s.bulkCreate(d)
	case "update":
		return s.bulkUpdate(d, "")
	case "updateifmatchetag":
		return s.bulkUpdate(d, etag)
	case "delete":
		return s.bulkDelete(d.ID, "")
	case "deleteifmatchetag":
		return s.bulkDelete(d.ID, etag)
	case "updatetwin":
		return s.bulkTwin(d, "")
	case "updatetwinifmatchetag":
		return s.bulkTwin(d, twinETag)
	default:
		return argumentInvalid("unknown importMode %q", d.Mode)
	}
}

func (s *Server) bulkCreate(d bulkDevice) *failure {
	identity, f := newIdentity(d.Status, d.StatusReason, d.Auth)
	if f != nil {
		return f
	}
	patch, f := d.patch()
	if f != nil {
		return f
	}
	identity.EdgeCapable, identity.Scope = d.Capabilities.IotEdge, d.Scope
	device, err := s.registry.Create(d.ID, identity)
	if err != nil {
		return identityFailure(d.ID, err)
	}
	if _, err := device.Update(patch, false, ""); err != nil {
		// A device whose twin is refused is not created (a guess); nobody else can have taken it away.
		_ = s.registry.Delete(d.ID, "")
		return twinFailure(d.ID, err)
	}
	return nil
}

func (s *Server) bulkUpdate(d bulkDevice, etag string) *failure {
	identity, f := newIdentity(d.Status, d.StatusReason, d.Auth)
	if f != nil {
		return f
	}
	identity.EdgeCapable, identity.Scope = d.Capabilities.IotEdge, d.Scope
	if _, err := s.registry.Change(d.ID, etag, identity); err != nil {
		return identityFailure(d.ID, err)
	}
	return nil
}

func (s *Server) bulkDelete(id, etag string) *failure {
	if err := s.registry.Delete(id, etag); err != nil {
		return identityFailure(id, err)
	}
	return nil
}

func (s *Server) bulkTwin(d bulkDevice, etag string) *failure {
	device, ok := s.registry.Get(d.ID)
	if !ok {
		return deviceNotFound(d.ID)
	}
	patch, f := d.patch()
	if f != nil {
		return f
	}
	if _, err := device.Update(patch, false, etag); err != nil {
		return twinFailure(d.ID, err)
	}
	return nil
}

// patch returns the tags and desired properties of the operation.
func (d bulkDevice) patch() (twin.Patch, *failure) {
	members := map[string]json.RawMessage{}
	if len(d.Tags) > 0 {
		members["tags"] = d.Tags
	}
	if len(d.Properties) > 0 {
		members["properties"] = d.Properties
	}
	// Raw JSON that has been read once can be written again.
	body, _ := json.Marshal(members)
	patch, err := twin.ParsePatch(body)
	if err != nil {
		return patch, argumentInvalid("%v", err)
	}
	return patch, nil
}
