package main

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/config"
	"github.com/fleetjobs/fleetjobs/internal/customhandler"
	"github.com/fleetjobs/fleetjobs/internal/hubapi"
	"github.com/fleetjobs/fleetjobs/internal/hubauth"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
)

// apiPrefix is where the native API begins; every other path is the hub's.
const apiPrefix = "/api/"

// newFacade gives the routes that stand in for the hub's own.
func newFacade(cfg config.Config, a *app, hub *iothub.Client, w wiring) (http.Handler, error) {
	policies, err := hubauth.ParsePolicies(cfg.Facade.Policies.Reveal())
	if err != nil {
		return nil, err
	}
	principals, err := hubauth.ParsePrincipals(cfg.Facade.Principals)
	if err != nil {
		return nil, err
	}
	public, err := url.Parse(cfg.PublicURL)
	if err != nil {
		return nil, err
	}
	return hubapi.New(hubapi.Options{
		Jobs: a.jobs, Store: a.store, Hub: hub.Forwarder(), HubName: cfg.Hubs.Default, PassThrough: cfg.HubPassThrough, Ready: a.store.Ensure,
		Callers: hubauth.New(hubauth.Options{
			Policies: policies, Hosts: []string{public.Host, cfg.Platform.WebsiteHostname},
			Entra: hubauth.Entra{
				Tenant: cfg.Facade.Tenant, Audiences: cfg.Facade.AudienceList(), Principals: principals, Authority: cfg.Facade.Authority,
			},
		}),
		Logger: w.logger, RequestID: customhandler.InvocationID,
	}), nil
}

// byPath gives the native API what is below its prefix, and the facade the rest.
func byPath(native, facade http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path+"/", apiPrefix) {
			native.ServeHTTP(w, r)
			return
		}
		facade.ServeHTTP(w, r)
	})
}
