package main

import (
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/api"
	"github.com/fleetjobs/fleetjobs/internal/config"
	"github.com/fleetjobs/fleetjobs/internal/dispatch"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/telemetry"
)

// newHub makes the client of one of the hubs. Hubs without a connection string share the app's identity.
func newHub(cfg config.Config, hub config.Hub, tel *telemetry.Telemetry) (*iothub.Client, error) {
	opts := iothub.Options{
		ConnectionString: hub.ConnectionString.Reveal(), HostName: hub.Hostname, CAFile: hub.CAFile,
		MaxConnections: cfg.MaxCallsInFlight, Tracer: tel.Tracer,
	}
	if opts.HostName != "" {
		identity, err := newIdentity(cfg.Storage)
		if err != nil {
			return nil, err
		}
		opts.Credential = identity
	}
	return iothub.New(opts)
}

// furtherHubs are the hubs besides the default one, as the dispatcher and the health check want them.
func furtherHubs(cfg config.Config, tel *telemetry.Telemetry) ([]dispatch.FurtherHub, []api.NamedHub, error) {
	var hubs []dispatch.FurtherHub
	var checked []api.NamedHub
	for _, h := range cfg.Hubs.Further {
		client, err := newHub(cfg, h.Hub, tel)
		if err != nil {
			return nil, nil, fmt.Errorf("hub %s: %w", h.Name, err)
		}
		rates, err := h.Rates()
		if err != nil {
			return nil, nil, fmt.Errorf("hub %s: %w", h.Name, err)
		}
		hubs = append(hubs, dispatch.FurtherHub{Name: h.Name, HostName: client.HostName(), Hub: client, Rates: rates})
		checked = append(checked, api.NamedHub{Name: h.Name, Hub: client})
	}
	return hubs, checked, nil
}
