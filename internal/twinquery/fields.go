package twinquery

import "strings"

// Source is the collection that a query reads.
type Source int

const (
	// Devices are the device twins (FROM devices).
	Devices Source = iota
	// Modules are the module twins (FROM devices.modules).
	Modules
	// Jobs are the rows of jobs, one per device (FROM devices.jobs).
	Jobs
)

// String returns the source as it stands after FROM.
func (s Source) String() string {
	switch s {
	case Modules:
		return "devices.modules"
	case Jobs:
		return "devices.jobs"
	default:
		return "devices"
	}
}

// resolve sets path.Key for a source and reports whether the first name is a known field of it.
func (s Source) resolve(path *Path) bool {
	key := path.Elems
	if len(key) > 1 && strings.EqualFold(key[0], "devices") {
		key = key[1:]
		if s != Devices && len(key) > 1 && strings.EqualFold("devices."+key[0], s.String()) {
			key = key[1:]
		}
	}
	name, known := s.field(key[0])
	if !known {
		path.Key = key
		return false
	}
	path.Key = append([]string{name}, key[1:]...)
	if len(key) > 1 {
		path.Key[1] = member(name, key[1])
	}
	return true
}

// field returns the documented spelling of a system property, which queries may write in any case.
func (s Source) field(name string) (string, bool) {
	if s == Jobs {
		return jobField(name)
	}
	switch lower := strings.ToLower(name); lower {
	case "deviceid":
		return "deviceId", true
	case "moduleid":
		return "moduleId", s == Modules
	case "etag", "status", "version", "tags", "properties", "capabilities", "configurations":
		return lower, true
	case "deviceetag":
		return "deviceEtag", true
	case "statusreason":
		return "statusReason", true
	case "statusupdatetime":
		return "statusUpdateTime", true
	case "connectionstate":
		return "connectionState", true
	case "lastactivitytime":
		return "lastActivityTime", true
	case "cloudtodevicemessagecount":
		return "cloudToDeviceMessageCount", true
	case "authenticationtype":
		return "authenticationType", true
	case "x509thumbprint":
		return "x509Thumbprint", true
	case "modelid":
		return "modelId", true
	case "devicescope":
		return "deviceScope", true
	case "parentscopes":
		return "parentScopes", true
	default:
		return name, false
	}
}

// jobField is field for job rows. The documented filters say createdTimeUtc where the rows say createdDateTimeUtc.
func jobField(name string) (string, bool) {
	switch lower := strings.ToLower(name); lower {
	case "jobid":
		return "jobId", true
	case "deviceid":
		return "deviceId", true
	case "moduleid":
		return "moduleId", true
	case "jobtype":
		return "jobType", true
	case "status", "outcome", "error":
		return lower, true
	case "starttimeutc":
		return "startTimeUtc", true
	case "endtimeutc":
		return "endTimeUtc", true
	case "createdtimeutc", "createddatetimeutc":
		return "createdDateTimeUtc", true
	case "lastupdatedtimeutc", "lastupdateddatetimeutc":
		return "lastUpdatedDateTimeUtc", true
	default:
		return name, false
	}
}

// member returns the documented spelling of a system name on the second level.
func member(parent, name string) string {
	var known []string
	switch parent {
	case "properties":
		known = []string{"desired", "reported"}
	case "capabilities":
		known = []string{"iotEdge"}
	case "x509Thumbprint":
		known = []string{"primaryThumbprint", "secondaryThumbprint"}
	default:
		return name
	}
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return k
		}
	}
	return name
}
