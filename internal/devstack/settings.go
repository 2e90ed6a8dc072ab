package devstack

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/fleetjobs/fleetjobs/internal/azurite"
)

// settings gives the app's settings as KEY=VALUE. What a developer's environment may hold for another deployment is emptied,
// which the handler takes for absent.
func (s *Stack) settings() []string {
	all := map[string]string{
		"AzureWebJobsStorage":         s.StorageConnectionString,
		"FLEETJOBS_PUBLIC_URL":        s.URL,
		"FLEETJOBS_TIMER_SCHEDULE":    "*/10 * * * * *",
		"FUNCTIONS_WORKER_RUNTIME":    "custom",
		"IOTHUB_CA_FILE":              s.CAFile,
		"IOTHUB_CONNECTION_STRING":    s.HubConnectionString,
		"AZURE_FUNCTIONS_ENVIRONMENT": "Development",
	}
	for _, name := range []string{
		azurite.DirVariable, "FLEETJOBS_EVENTGRID_ENDPOINT", "FLEETJOBS_EVENTGRID_KEY", "IOTHUB_HOSTNAME", "WEBSITE_HOSTNAME", "WEBSITE_SKU",
		"AzureWebJobsStorage__accountName", "AzureWebJobsStorage__tableServiceUri", "AzureWebJobsStorage__queueServiceUri",
		"AzureWebJobsStorage__credential", "AzureWebJobsStorage__clientId",
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_SDK_DISABLED",
	} {
		all[name] = ""
	}
	maps.Copy(all, s.options.SettingsOverrides)
	list := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}

// choosePort finds a free port if none is wanted: the app must know its own address before it starts.
func choosePort(wanted int) (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(wanted)))
	if err != nil {
		return 0, fmt.Errorf("taking the port of the API: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return 0, fmt.Errorf("taking the port of the API: %w", err)
	}
	return port, nil
}
