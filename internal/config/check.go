package config

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var (
	hostnameRule    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	accountNameRule = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	guidRule        = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
)

const hostnameText = "must be a host name like name.azure-devices.net, without scheme or path"

func (h Hub) check(f *faults) {
	switch {
	case h.ConnectionString == "" && h.Hostname == "":
		f.add("IOTHUB_CONNECTION_STRING", "", "must be set, or IOTHUB_HOSTNAME to use the app's identity")
	case h.ConnectionString != "" && h.Hostname != "":
		f.add("IOTHUB_HOSTNAME", h.Hostname, "must not be set together with IOTHUB_CONNECTION_STRING")
	case h.Hostname != "" && !hostnameRule.MatchString(h.Hostname):
		f.add("IOTHUB_HOSTNAME", h.Hostname, hostnameText)
	}
	if h.ConnectionString == "" {
		return
	}
	parts, ok := connectionString(h.ConnectionString)
	rule := ""
	switch {
	case !ok:
		rule = "must be name=value pairs joined by semicolons"
	case parts["deviceid"] != "":
		rule = "is a device's connection string; must be one of a shared access policy of the hub"
	case !hostnameRule.MatchString(parts["hostname"]):
		rule = "its HostName " + hostnameText
	case parts["sharedaccesskeyname"] == "":
		rule = "must have a SharedAccessKeyName"
	case !isKey(parts["sharedaccesskey"]):
		rule = "must have a base64 SharedAccessKey"
	}
	if rule != "" {
		f.addSecret("IOTHUB_CONNECTION_STRING", rule)
	}
}

func (s Storage) check(f *faults) {
	hasURIs := s.TableServiceURI != "" || s.QueueServiceURI != ""
	hasIdentity := s.AccountName != "" || hasURIs
	if hasIdentity == (s.ConnectionString != "") {
		f.addSecret("AzureWebJobsStorage", "exactly one must be set: AzureWebJobsStorage, or AzureWebJobsStorage__accountName "+
			"or AzureWebJobsStorage__tableServiceUri with AzureWebJobsStorage__queueServiceUri to use the app's identity")
	}
	s.checkConnectionString(f)
	if s.AccountName != "" && !accountNameRule.MatchString(s.AccountName) {
		f.add("AzureWebJobsStorage__accountName", s.AccountName, "must be 3 to 24 lower-case letters and digits")
	}
	if hasURIs {
		s.checkServiceURI(f, "AzureWebJobsStorage__tableServiceUri", s.TableServiceURI)
		s.checkServiceURI(f, "AzureWebJobsStorage__queueServiceUri", s.QueueServiceURI)
	}
	if s.BlobServiceURI != "" {
		s.checkServiceURI(f, "AzureWebJobsStorage__blobServiceUri", s.BlobServiceURI)
	}
	s.checkIdentity(f)
}

func (s Storage) checkConnectionString(f *faults) {
	if s.ConnectionString == "" {
		return
	}
	parts, ok := connectionString(s.ConnectionString)
	rule := ""
	switch {
	case !ok:
		rule = "must be name=value pairs joined by semicolons"
	case strings.EqualFold(parts["usedevelopmentstorage"], "true"):
	case parts["accountkey"] == "" && parts["sharedaccesssignature"] == "":
		rule = "must be UseDevelopmentStorage=true, or have an AccountKey or a SharedAccessSignature"
	case parts["accountkey"] != "" && !isKey(parts["accountkey"]):
		rule = "must have a base64 AccountKey"
	case parts["accountname"] == "" && (parts["accountkey"] != "" || parts["tableendpoint"] == "" || parts["queueendpoint"] == ""):
		rule = "must have an AccountName; only a SharedAccessSignature may have TableEndpoint and QueueEndpoint instead"
	}
	if rule != "" {
		f.addSecret("AzureWebJobsStorage", rule)
	}
}

func (s Storage) checkIdentity(f *faults) {
	const credential, clientID = "AzureWebJobsStorage__credential", "AzureWebJobsStorage__clientId"
	if s.ConnectionString != "" {
		const rule = "must not be set together with AzureWebJobsStorage, which needs no identity"
		if s.Credential != "" {
			f.add(credential, s.Credential, rule)
		}
		if s.ClientID != "" {
			f.add(clientID, s.ClientID, rule)
		}
		return
	}
	if s.Credential != "" && !strings.EqualFold(s.Credential, "managedidentity") {
		f.add(credential, s.Credential, "must be managedidentity, or absent")
	}
	switch {
	case s.ClientID == "":
	case !guidRule.MatchString(s.ClientID):
		f.add(clientID, s.ClientID, "must be the client id (a GUID) of a user-assigned identity")
	case s.Credential == "":
		f.add(clientID, s.ClientID, "needs "+credential+"=managedidentity")
	}
}

func (s Storage) checkServiceURI(f *faults, name, value string) {
	if value == "" {
		if s.AccountName == "" {
			f.add(name, "", "must be set, since the other service URI is and AzureWebJobsStorage__accountName is not")
		}
		return
	}
	u, err := url.Parse(value)
	if err != nil || !isWebURL(u) || u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		// It may hold a signature: not shown.
		f.addSecret(name, "must be an https URL without query, like https://name.table.core.windows.net")
	}
}

func (c *Config) checkPublicURL(f *faults) {
	const name = "FLEETJOBS_PUBLIC_URL"
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		switch {
		case err != nil || u.User != nil:
			f.addSecret(name, "must be an absolute http or https URL without user and password")
		case !isWebURL(u) || u.RawQuery != "" || u.ForceQuery || strings.Contains(c.PublicURL, "#"):
			f.add(name, c.PublicURL, "must be an absolute http or https URL without query and fragment")
		}
		c.PublicURL = strings.TrimRight(c.PublicURL, "/")
		return
	}
	host := c.Platform.WebsiteHostname
	switch {
	case host == "":
		f.add(name, "", "must be set where the platform does not set WEBSITE_HOSTNAME")
	case !hostnameRule.MatchString(host):
		f.add("WEBSITE_HOSTNAME", host, hostnameText)
	case strings.HasPrefix(host, "localhost") || strings.HasPrefix(host, "127.0.0.1"):
		c.PublicURL = "http://" + host
	default:
		c.PublicURL = "https://" + host
	}
}

func (c *Config) checkNumbers(f *faults, settings map[string]string) {
	for _, n := range []struct {
		name             string
		value, low, high int
	}{
		{"FLEETJOBS_MAX_CALLS_IN_FLIGHT", c.MaxCallsInFlight, 1, 10_000},
		{"FLEETJOBS_MAX_CONCURRENT_RUNS", c.MaxConcurrentRuns, 0, 500},
		{"FLEETJOBS_SLICE_SECONDS", c.SliceSeconds, 1, 600},
		{"FLEETJOBS_LEASE_SECONDS", c.LeaseSeconds, 10, 300},
	} {
		if _, err := strconv.Atoi(settings[n.name]); err != nil && settings[n.name] != "" {
			continue // reported as malformed
		}
		if n.value < n.low || n.value > n.high {
			f.add(n.name, strconv.Itoa(n.value), fmt.Sprintf("must be from %d to %d", n.low, n.high))
		}
	}
}

func (c *Config) checkRoles(f *faults) {
	if c.RequireRoles && !c.EasyAuth {
		f.add("FLEETJOBS_REQUIRE_ROLES", "true", "needs FLEETJOBS_EASY_AUTH=true: access keys have no roles")
	}
}

func (c *Config) checkSchedule(f *faults) {
	gap, err := largestGap(c.TimerSchedule)
	switch {
	case err != nil:
		f.add("FLEETJOBS_TIMER_SCHEDULE", c.TimerSchedule, err.Error())
	case gap > MaxTickInterval:
		f.add("FLEETJOBS_TIMER_SCHEDULE", c.TimerSchedule,
			fmt.Sprintf("must fire at least every %v, has a gap of %v", MaxTickInterval, gap))
	}
	c.TickInterval = gap
}

func isWebURL(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil
}

// connectionString splits "Name=value;..." with lower-cased names.
func connectionString(s Secret) (map[string]string, bool) {
	parts := make(map[string]string)
	for part := range strings.SplitSeq(strings.TrimRight(s.Reveal(), "; "), ";") {
		name, value, ok := strings.Cut(part, "=")
		if !ok || name == "" {
			return nil, false
		}
		parts[strings.ToLower(strings.TrimSpace(name))] = value
	}
	return parts, true
}

func isKey(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(b) > 0
}
