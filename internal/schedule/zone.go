package schedule

import (
	"encoding/json"
	"errors"
	"regexp"
	"time"
	_ "time/tzdata" // zones work on hosts without a zone database
)

const (
	// DeviceZone as timeZone means that each device runs at its own local time.
	DeviceZone = "device"
	// DefaultZonePath is where a device's twin names its zone, unless timeZonePath says otherwise.
	DefaultZonePath = "tags.timeZone"

	maxZoneName = 64
)

// A zone's local time is never farther ahead of UTC, or behind it, than this since 1970: Kiritimati is 14 hours ahead,
// Etc/GMT+12 12 hours behind (https://www.iana.org/time-zones).
const (
	mostAhead  = 14 * time.Hour
	mostBehind = 12 * time.Hour
)

var (
	zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*)*$`)
	errZone  = errors.New(`must be the name of an IANA time zone, such as "Europe/Berlin" or "UTC"`)
)

// LoadZone gives the IANA zone of that name (https://www.iana.org/time-zones). It comes from the host's zone database, or from
// the one in the binary when the host has none.
func LoadZone(name string) (*time.Location, error) {
	if len(name) > maxZoneName || !zoneName.MatchString(name) || name == "Local" {
		return nil, errZone
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, errZone
	}
	return loc, nil
}

// ZoneOutcome says where a device's zone comes from, or why it has none.
type ZoneOutcome string

// The outcomes of looking for a device's zone.
const (
	ZoneFromTwin ZoneOutcome = "twin"            // the twin names it
	ZoneDefault  ZoneOutcome = "default"         // the twin has none: defaultTimeZone
	ZoneMissing  ZoneOutcome = "noTimeZone"      // the twin has none, and the job no default: the device is not called
	ZoneInvalid  ZoneOutcome = "invalidTimeZone" // the twin's value is not a zone: the device is not called, default or not
)

// Found reports whether there is a zone.
func (o ZoneOutcome) Found() bool { return o == ZoneFromTwin || o == ZoneDefault }

// Zones remembers the zones it has loaded. The zero value is ready; it is not safe for concurrent use.
type Zones struct{ loaded map[string]*time.Location }

// Load is LoadZone with a memory.
func (z *Zones) Load(name string) (*time.Location, error) {
	if loc := z.loaded[name]; loc != nil {
		return loc, nil
	}
	loc, err := LoadZone(name)
	if err != nil {
		return nil, err
	}
	if z.loaded == nil {
		z.loaded = map[string]*time.Location{}
	}
	z.loaded[name] = loc
	return loc, nil
}

// OfDevice gives a device's zone from the value at its TimeZonePath: raw JSON, nil when the twin has no such path. A zone
// that is there and wrong is not replaced by defaultZone, so that nothing runs at an hour that nobody meant.
func (z *Zones) OfDevice(value json.RawMessage, defaultZone string) (*time.Location, ZoneOutcome) {
	if len(value) == 0 || string(value) == "null" {
		loc, err := z.Load(defaultZone)
		if err != nil {
			return nil, ZoneMissing
		}
		return loc, ZoneDefault
	}
	var name string
	if err := json.Unmarshal(value, &name); err != nil {
		return nil, ZoneInvalid
	}
	loc, err := z.Load(name)
	if err != nil {
		return nil, ZoneInvalid
	}
	return loc, ZoneFromTwin
}
