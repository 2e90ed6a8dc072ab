package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/nearest"
)

// Hubs are the deployment's IoT hubs besides the default one, which Hub and Pace are about.
type Hubs struct {
	// Default is the name by which jobs name the default hub. Unless set it is the first part of its host name where that can be a
	// name, as of every hub in Azure, else "default".
	Default string `env:"FLEETJOBS_HUB_NAME"`
	// List is a JSON array of objects as in NamedHub.
	List string `env:"FLEETJOBS_HUBS"`
	// Further is what List says, in its order.
	Further []NamedHub `env:"-"`
}

// NamedHub is a hub that jobs name. Its connection string, if it has one, is a setting of its own: ConnectionSetting.
type NamedHub struct {
	Name string
	Hub
	Pace
}

const (
	hubsSetting    = "FLEETJOBS_HUBS"
	hubNameSetting = "FLEETJOBS_HUB_NAME"
	// keysPrefix begins the settings with the connection strings of further hubs.
	keysPrefix = "IOTHUB_CONNECTION_STRING_"
)

// ConnectionSetting is the setting that holds the connection string of a further hub: that of plant-b is
// IOTHUB_CONNECTION_STRING_PLANT_B.
func ConnectionSetting(hub string) string {
	return keysPrefix + strings.ToUpper(strings.ReplaceAll(hub, "-", "_"))
}

// HostName is the host name of the hub, however it is set; "" when it is not, or not readable.
func (h Hub) HostName() string {
	if h.ConnectionString == "" {
		return strings.ToLower(h.Hostname)
	}
	parts, _ := connectionString(h.ConnectionString)
	return strings.ToLower(parts["hostname"])
}

// hubMembers are the members of an entry of FLEETJOBS_HUBS, with the settings of the default hub that mean the same.
func hubMembers() map[string]string {
	return map[string]string{
		"name": hubNameSetting, "hostname": "IOTHUB_HOSTNAME", "caFile": "IOTHUB_CA_FILE", "tier": "FLEETJOBS_HUB_TIER",
		"units": "FLEETJOBS_HUB_UNITS", "methodsPerSecond": "FLEETJOBS_METHODS_PER_SECOND",
		"twinUpdatesPerSecond": "FLEETJOBS_TWIN_UPDATES_PER_SECOND", "queriesPerMinute": "FLEETJOBS_QUERIES_PER_MINUTE",
	}
}

func (c *Config) checkHubs(f *faults, settings map[string]string) {
	h := &c.Hubs
	switch host, _, _ := strings.Cut(c.Hub.HostName(), "."); {
	case h.Default == "" && job.HubName(host):
		h.Default = host
	case h.Default == "":
		h.Default = "default"
	case !job.HubName(h.Default):
		f.add(hubNameSetting, h.Default, job.HubNameRule)
	}
	var entries []json.RawMessage
	if h.List != "" {
		if err := json.Unmarshal([]byte(h.List), &entries); err != nil {
			f.add(hubsSetting, h.List, `must be a JSON array of objects such as [{"name":"plant-b","hostname":"plant-b.azure-devices.net"}]`)
		}
	}
	if len(entries) >= job.MaxHubs {
		f.add(hubsSetting, "", fmt.Sprintf("has %d hubs; with the default one there may be %d", len(entries), job.MaxHubs))
		return
	}
	taken := map[string]string{c.Hub.HostName(): h.Default} // names by hosts
	var keys []string
	for i, raw := range entries {
		var own faults
		hub := readHub(raw, &own)
		keys = append(keys, ConnectionSetting(hub.Name))
		if len(own) == 0 {
			hub.ConnectionString = Secret(settings[ConnectionSetting(hub.Name)])
			hub.check(&own, taken)
		}
		named := fmt.Sprintf("hub %d", i+1)
		if hub.Name != "" {
			named += fmt.Sprintf(" (%s)", hub.Name)
		}
		for _, fault := range own {
			f.add(hubsSetting, "", named+": "+strings.TrimPrefix(fault.String(), ": "))
		}
		h.Further = append(h.Further, hub)
	}
	checkKeys(f, settings, keys)
}

// readHub reads an entry of the list. Its faults are about members.
func readHub(raw json.RawMessage, f *faults) NamedHub {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		f.add("", "", "must be an object")
		return NamedHub{}
	}
	known := slices.Sorted(maps.Keys(hubMembers()))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(known, name) {
			rule := "is no member of a hub" // the value may be a key
			if near := nearest.Name(name, known); near != "" {
				rule += "; did you mean " + near + "?"
			}
			f.addSecret(name, rule)
		}
	}
	hub := NamedHub{Pace: Pace{Tier: "S1", Units: 1}}
	for name, into := range map[string]any{
		"name": &hub.Name, "hostname": &hub.Hostname, "caFile": &hub.CAFile, "tier": &hub.Tier, "units": &hub.Units,
		"methodsPerSecond": &hub.MethodsPerSecond, "twinUpdatesPerSecond": &hub.TwinUpdatesPerSecond, "queriesPerMinute": &hub.QueriesPerMinute,
	} {
		value, ok := members[name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(value, into); err != nil || bytes.Equal(value, []byte("null")) {
			kind := "a string"
			switch into.(type) {
			case *int:
				kind = "a whole number"
			case *float64:
				kind = "a number"
			}
			f.add(name, strings.Trim(string(value), `"`), "must be "+kind)
		}
	}
	return hub
}

// check adds the faults of a hub under the names of its members. taken has the names of the hubs before it by their hosts, and
// takes this one.
func (h NamedHub) check(f *faults, taken map[string]string) {
	if !job.HubName(h.Name) {
		f.add("name", h.Name, job.HubNameRule)
		return
	}
	for host, other := range taken {
		if ConnectionSetting(other) == ConnectionSetting(h.Name) {
			f.add("name", h.Name, "is another hub's already")
		} else if host == h.HostName() && host != "" {
			f.add("hostname", host, "is that of hub "+other+" already")
		}
	}
	taken[cmpHost(h)] = h.Name
	var own faults
	h.Hub.check(&own)
	h.Pace.check(&own)
	member := map[string]string{"IOTHUB_CONNECTION_STRING": ConnectionSetting(h.Name)}
	for name, setting := range hubMembers() {
		member[setting] = name
	}
	for _, fault := range own {
		fault.Name = member[fault.Name]
		for setting, name := range member {
			fault.Rule = strings.ReplaceAll(fault.Rule, setting, name)
		}
		*f = append(*f, fault)
	}
}

// cmpHost gives a key for a hub whose host name may be missing.
func cmpHost(h NamedHub) string {
	if host := h.HostName(); host != "" {
		return host
	}
	return "hub " + strconv.Quote(h.Name)
}

// checkKeys refuses connection strings of hubs that are not listed.
func checkKeys(f *faults, settings map[string]string, keys []string) {
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if !strings.HasPrefix(name, keysPrefix) || slices.Contains(keys, name) {
			continue
		}
		rule := "belongs to no hub of " + hubsSetting
		if near := nearest.Name(name, keys); near != "" {
			rule += "; did you mean " + near + "?"
		}
		f.addSecret(name, rule)
	}
}
