package devstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/fleetjobs/fleetjobs/internal/azurite"
	"github.com/fleetjobs/fleetjobs/internal/freeport"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// policy is the shared access policy with all permissions, of the hub and of the app.
const policy = "iothubowner"

// settings gives the app's settings as KEY=VALUE. What a developer's environment may hold for another deployment is emptied,
// which the handler takes for absent.
func (s *Stack) settings() []string {
	all := map[string]string{
		"AzureWebJobsStorage":         s.StorageConnectionString,
		"FLEETJOBS_PUBLIC_URL":        s.URL,
		"FLEETJOBS_SAS_POLICIES":      policy + "=" + s.policyKey,
		"FLEETJOBS_TIMER_SCHEDULE":    "*/10 * * * * *",
		"FLEETJOBS_HUB_TIER":          pace.Unmetered,
		"FUNCTIONS_WORKER_RUNTIME":    "custom",
		"IOTHUB_CA_FILE":              s.CAFile,
		"IOTHUB_CONNECTION_STRING":    s.HubConnectionString,
		"AZURE_FUNCTIONS_ENVIRONMENT": "Development",
	}
	for _, name := range []string{
		azurite.DirVariable, "FLEETJOBS_EVENTGRID_ENDPOINT", "FLEETJOBS_EVENTGRID_KEY", "FLEETJOBS_HUBS", "FLEETJOBS_HUB_NAME", "IOTHUB_HOSTNAME", "WEBSITE_HOSTNAME", "WEBSITE_SKU",
		"AzureWebJobsStorage__accountName", "AzureWebJobsStorage__tableServiceUri", "AzureWebJobsStorage__queueServiceUri",
		"AzureWebJobsStorage__blobServiceUri", "FLEETJOBS_RETENTION", "FLEETJOBS_EXPORT_CONTAINER", "FLEETJOBS_EXPORT_FORMAT",
		"AzureWebJobsStorage__credential", "AzureWebJobsStorage__clientId",
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_SDK_DISABLED",
	} {
		all[name] = ""
	}
	s.pace(all)
	s.hubs(all)
	if s.options.PassThrough {
		all["FLEETJOBS_HUB_PASSTHROUGH"] = "true"
		all["IOTHUB_CONNECTION_STRING"] = s.Hub.PolicyConnectionString(policy)
	}
	maps.Copy(all, s.options.SettingsOverrides)
	list := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}

// pace has the app keep the pace of a simulated hub that throttles, on that hub's clock.
func (s *Stack) pace(settings map[string]string) {
	rates := s.rates()
	if rates == nil {
		return
	}
	for name, rate := range map[string]float64{
		"FLEETJOBS_METHODS_PER_SECOND":      rates[pace.Methods],
		"FLEETJOBS_TWIN_UPDATES_PER_SECOND": rates[pace.TwinUpdates],
		"FLEETJOBS_QUERIES_PER_MINUTE":      rates[pace.Queries] * 60,
	} {
		settings[name] = strconv.FormatFloat(rate, 'f', -1, 64)
	}
}

// rates are what a hub allows by its own clock, nil without a tier, or with a basic one, of which fleetjobs knows nothing.
func (s *Stack) rates() pace.Rates {
	rates, err := pace.RatesOf(string(s.options.Throttle.Tier), max(1, s.options.Throttle.Units))
	if err != nil {
		return nil
	}
	for op := range rates {
		rates[op] *= max(1, s.options.TimeScale)
	}
	return rates
}

// choosePorts decides where the app is served, once: it must know its own address before it starts.
func (s *Stack) choosePorts() error {
	if s.port != 0 {
		return nil
	}
	ports, err := freePorts(s.options.Port, s.options.TLSPort)
	if err != nil {
		return fmt.Errorf("taking the ports of the API: %w", err)
	}
	s.port, s.tlsPort = ports[0], ports[1]
	s.URL, s.TLSURL = fmt.Sprintf("http://127.0.0.1:%d", s.port), fmt.Sprintf("https://127.0.0.1:%d", s.tlsPort)
	s.ConnectionString = fmt.Sprintf("HostName=127.0.0.1:%d;SharedAccessKeyName=%s;SharedAccessKey=%s", s.tlsPort, policy, s.policyKey)
	return nil
}

// freePorts checks that ports are free, and finds one for each that is 0.
func freePorts(wanted ...int) (ports []int, err error) {
	for _, port := range wanted {
		if port == 0 {
			if port, err = freeport.Find(context.Background()); err != nil {
				return nil, err
			}
		}
		listener, listenErr := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if listenErr != nil {
			return nil, listenErr
		}
		defer func() { err = errors.Join(err, listener.Close()) }()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
