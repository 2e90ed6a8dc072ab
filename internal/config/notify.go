package config

import (
	"net/url"

	"github.com/fleetjobs/fleetjobs/internal/notify"
)

// Notify says how others are told what becomes of jobs.
type Notify struct {
	// CallbackKeys sign callbacks: see notify.ParseKeys. Empty: callbacks are not signed.
	CallbackKeys Secret `env:"FLEETJOBS_CALLBACK_KEYS"`
	// CallbackAllow lists what callbacks may reach besides public addresses: see notify.ParseAllow.
	CallbackAllow string `env:"FLEETJOBS_CALLBACK_ALLOW"`
	// EventGridEndpoint is the URL of an Event Grid custom topic. Empty: nothing is published.
	EventGridEndpoint string `env:"FLEETJOBS_EVENTGRID_ENDPOINT"`
	// EventGridKey is an access key of the topic. Empty: the app's identity is used.
	EventGridKey Secret `env:"FLEETJOBS_EVENTGRID_KEY"`
}

func (n Notify) check(f *faults) {
	if _, err := notify.ParseKeys(n.CallbackKeys.Reveal()); err != nil {
		f.addSecret("FLEETJOBS_CALLBACK_KEYS", err.Error())
	}
	allow, err := notify.ParseAllow(n.CallbackAllow)
	if err != nil {
		f.add("FLEETJOBS_CALLBACK_ALLOW", n.CallbackAllow, err.Error())
	}
	const endpoint = "FLEETJOBS_EVENTGRID_ENDPOINT"
	if n.EventGridEndpoint == "" {
		if n.EventGridKey != "" {
			f.add(endpoint, "", "must be set, since FLEETJOBS_EVENTGRID_KEY is")
		}
		return
	}
	u, err := url.Parse(n.EventGridEndpoint)
	switch {
	case err != nil || !isWebURL(u) || u.RawQuery != "" || u.Fragment != "":
		f.addSecret(endpoint, "must be an https URL without query, like https://name.region-1.eventgrid.azure.net/api/events")
	case u.Scheme != "https" && allow.CheckURL(n.EventGridEndpoint) != "":
		f.add(endpoint, n.EventGridEndpoint, "must be an https URL; http is for hosts that FLEETJOBS_CALLBACK_ALLOW lists")
	}
}
