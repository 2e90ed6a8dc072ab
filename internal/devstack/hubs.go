package devstack

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// DefaultHub is the name of the default hub where there are several; the others are hub-2, hub-3 and so on.
const DefaultHub = "hub-1"

// FurtherHub is a simulated hub beside the default one, with a fleet of its own that has the same ids.
type FurtherHub struct {
	Name  string
	Hub   *hubsim.Server
	Fleet *fleetsim.Fleet
}

// startHubs starts the further hubs.
func (s *Stack) startHubs(ctx context.Context) error {
	for i := range max(0, s.options.Hubs-1) {
		name := fmt.Sprintf("hub-%d", i+2)
		hub, fleet, err := s.newHub(ctx, hubsim.Options{Throttle: s.options.Throttle, TimeScale: s.options.TimeScale, Journal: s.options.Journal})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.Further = append(s.Further, FurtherHub{Name: name, Hub: hub, Fleet: fleet})
	}
	return nil
}

// hubs names the further hubs in the app's settings.
func (s *Stack) hubs(settings map[string]string) {
	if len(s.Further) == 0 {
		return
	}
	settings["FLEETJOBS_HUB_NAME"] = DefaultHub
	rates := s.rates()
	var list []map[string]any
	for _, h := range s.Further {
		entry := map[string]any{"name": h.Name, "caFile": h.Hub.CAFile(), "tier": pace.Unmetered}
		if rates != nil {
			entry["methodsPerSecond"], entry["twinUpdatesPerSecond"] = rates[pace.Methods], rates[pace.TwinUpdates]
			entry["queriesPerMinute"] = rates[pace.Queries] * 60
		}
		list = append(list, entry)
		settings["IOTHUB_CONNECTION_STRING_"+strings.ToUpper(strings.ReplaceAll(h.Name, "-", "_"))] = h.Hub.ConnectionString()
	}
	text, _ := json.Marshal(list) // texts and finite numbers
	settings["FLEETJOBS_HUBS"] = string(text)
}
