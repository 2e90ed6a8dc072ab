package registry

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/twin"
)

// View is a device or module at one instant. It is a twinquery.Document; nothing it holds may be changed.
type View struct {
	ID           string // of a module as [ModuleID] gives it
	Identity     *Identity
	Twin         twin.Twin
	Connected    bool
	StateChanged time.Time // of the connection
	LastActivity time.Time
	Generation   int64

	version uint32
}

// DeviceID returns the id of the device, of a module that of its device.
func (v *View) DeviceID() string {
	device, _, _ := strings.Cut(v.ID, "/")
	return device
}

// ModuleID returns a module's own id, empty of devices.
func (v *View) ModuleID() string {
	_, module, _ := strings.Cut(v.ID, "/")
	return module
}

// ConnectionState returns "Connected" or "Disconnected".
func (v *View) ConnectionState() string {
	if v.Connected {
		return "Connected"
	}
	return "Disconnected"
}

// IdentityETag returns the etag of the identity without quotes.
func (v *View) IdentityETag() string { return identityETag(v.version) }

// Lookup implements twinquery.Document.
func (v *View) Lookup(path []string) (any, bool) {
	switch path[0] {
	case "tags":
		if v.Twin.Tags == nil {
			return nil, false
		}
		return twin.Walk(v.Twin.Tags, path[1:])
	case "properties":
		return v.lookupProperties(path[1:])
	case "capabilities":
		return twin.Walk(map[string]any{"iotEdge": v.Identity.EdgeCapable}, path[1:])
	case "x509Thumbprint":
		return twin.Walk(v.thumbprints(), path[1:])
	}
	if len(path) > 1 {
		return nil, false
	}
	return v.system(path[0])
}

func (v *View) lookupProperties(path []string) (any, bool) {
	if len(path) == 0 {
		desired, _ := v.Twin.Desired.Lookup(nil, true)
		reported, _ := v.Twin.Reported.Lookup(nil, false)
		return map[string]any{"desired": desired, "reported": reported}, true
	}
	switch path[0] {
	case "desired":
		return v.Twin.Desired.Lookup(path[1:], true)
	case "reported":
		return v.Twin.Reported.Lookup(path[1:], false)
	}
	return nil, false
}

func (v *View) system(name string) (any, bool) {
	switch name {
	case "deviceId":
		return v.DeviceID(), true
	case "moduleId":
		module := v.ModuleID()
		return module, module != ""
	case "etag":
		return v.Twin.ETag(), true
	case "deviceEtag":
		return v.IdentityETag(), true
	case "status":
		return v.Identity.Status(), true
	case "statusReason":
		return v.Identity.StatusReason, v.Identity.StatusReason != ""
	case "statusUpdateTime":
		return formatTime(v.Identity.StatusUpdated), true
	case "connectionState":
		return v.ConnectionState(), true
	case "lastActivityTime":
		return formatTime(v.LastActivity), true
	case "cloudToDeviceMessageCount":
		return 0, true
	case "authenticationType":
		return v.Identity.Authentication(), true
	case "version":
		return v.Twin.Version(), true
	case "deviceScope":
		return v.Identity.Scope, v.Identity.Scope != ""
	}
	return nil, false
}

func formatTime(t time.Time) string {
	quoted := twin.AppendTime(nil, t)
	return string(quoted[1 : len(quoted)-1])
}

func (v *View) thumbprints() map[string]any {
	value := func(s *string) any {
		if s == nil {
			return nil
		}
		return *s
	}
	t := v.Identity.Thumbprints
	return map[string]any{"primaryThumbprint": value(t.Primary), "secondaryThumbprint": value(t.Secondary)}
}

// All implements twinquery.Document.
func (v *View) All() map[string]any {
	var all map[string]any
	// What AppendTwin writes can always be read again.
	_ = json.Unmarshal(v.AppendTwin(nil), &all)
	return all
}

// AppendTwin appends the twin's JSON as the service shows it.
func (v *View) AppendTwin(buf []byte) []byte {
	buf = append(buf, `{"deviceId":`...)
	buf = twin.AppendString(buf, v.DeviceID())
	if module := v.ModuleID(); module != "" {
		buf = append(buf, `,"moduleId":`...)
		buf = twin.AppendString(buf, module)
	}
	buf = append(buf, `,"etag":"`...)
	buf = append(buf, v.Twin.ETag()...)
	buf = append(buf, `","deviceEtag":"`...)
	buf = append(buf, v.IdentityETag()...)
	buf = append(buf, `","status":"`...)
	buf = append(buf, v.Identity.Status()...)
	if v.Identity.StatusReason != "" {
		buf = append(buf, `","statusReason":`...)
		buf = twin.AppendString(buf, v.Identity.StatusReason)
		buf = append(buf, `,"statusUpdateTime":`...)
	} else {
		buf = append(buf, `","statusUpdateTime":`...)
	}
	buf = twin.AppendTime(buf, v.Identity.StatusUpdated)
	buf = append(buf, `,"connectionState":"`...)
	buf = append(buf, v.ConnectionState()...)
	buf = append(buf, `","lastActivityTime":`...)
	buf = twin.AppendTime(buf, v.LastActivity)
	buf = append(buf, `,"cloudToDeviceMessageCount":0,"authenticationType":"`...)
	buf = append(buf, v.Identity.Authentication()...)
	buf = append(buf, `","x509Thumbprint":`...)
	buf = twin.AppendValue(buf, v.thumbprints())
	buf = append(buf, `,"version":`...)
	buf = strconv.AppendInt(buf, v.Twin.Version(), 10)
	if len(v.Twin.Tags) > 0 {
		buf = append(buf, `,"tags":`...)
		buf = twin.AppendValue(buf, v.Twin.Tags)
	}
	buf = append(buf, `,"properties":{"desired":`...)
	buf = v.Twin.Desired.AppendJSON(buf, true)
	buf = append(buf, `,"reported":`...)
	buf = v.Twin.Reported.AppendJSON(buf, false)
	buf = append(buf, `},"capabilities":{"iotEdge":`...)
	buf = strconv.AppendBool(buf, v.Identity.EdgeCapable)
	buf = append(buf, '}')
	if v.Identity.Scope != "" {
		buf = append(buf, `,"deviceScope":`...)
		buf = twin.AppendString(buf, v.Identity.Scope)
	}
	return append(buf, '}')
}
