package config_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/config"
)

const (
	hubConnection     = "HostName=hub.azure-devices.net;SharedAccessKeyName=service;SharedAccessKey=c2VjcmV0LWh1Yi1rZXk="
	storageConnection = "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=c2VjcmV0LXN0b3JhZ2Uta2V5;EndpointSuffix=core.windows.net"
)

// minimal is the least that starts; changes are "name=value", or "name=" to
// take a setting away.
func minimal(changes ...string) []string {
	return append([]string{
		"PATH=/bin", "IOTHUB_CONNECTION_STRING=" + hubConnection,
		"AzureWebJobsStorage=UseDevelopmentStorage=true", "WEBSITE_HOSTNAME=app.azurewebsites.net",
	}, changes...)
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got, err := config.Load(minimal())
	require.NoError(t, err)
	want := config.Config{
		Hub:              config.Hub{ConnectionString: hubConnection},
		Hubs:             config.Hubs{Default: "hub"},
		Storage:          config.Storage{ConnectionString: "UseDevelopmentStorage=true"},
		Platform:         config.Platform{WebsiteHostname: "app.azurewebsites.net"},
		OTel:             config.OTel{Disabled: "false", Protocol: "http/protobuf", TracesExporter: "otlp", MetricsExporter: "otlp"},
		Pace:             config.Pace{Tier: "S1", Units: 1},
		Retention:        config.Retention{Format: config.FormatNDJSON},
		Facade:           config.Facade{Authority: "https://login.microsoftonline.com"},
		PublicURL:        "https://app.azurewebsites.net",
		TimerSchedule:    "*/10 * * * * *",
		TickInterval:     10 * time.Second,
		MaxCallsInFlight: 512,
		SliceSeconds:     60,
		LeaseSeconds:     30,
		LogLevel:         config.Level(slog.LevelInfo),
	}
	require.True(t, cmp.Equal(want, got), "%+v", got)
	require.Equal(t, time.Minute, got.Slice())
	require.Equal(t, 30*time.Second, got.Lease())
}

func TestSettingsThatAreTaken(t *testing.T) {
	t.Parallel()
	got, err := config.Load([]string{
		"IOTHUB_HOSTNAME=127.0.0.1:8443", "IOTHUB_CA_FILE=/tmp/ca.pem",
		"AzureWebJobsStorage__accountName=acct", "AzureWebJobsStorage__credential=managedidentity",
		"AzureWebJobsStorage__clientId=6f9c2a3e-0000-0000-0000-000000000000",
		"AzureWebJobsStorage__blobServiceUri=https://acct.blob.core.windows.net",
		"FLEETJOBS_PUBLIC_URL=https://jobs.example.com/base/", "FLEETJOBS_LOG_LEVEL=warn",
		"FLEETJOBS_TIMER_SCHEDULE=0 */5 * * * *", "FLEETJOBS_SLICE_SECONDS=600", "FLEETJOBS_LEASE_SECONDS=10",
		"FLEETJOBS_MAX_CALLS_IN_FLIGHT=10000",
		"FLEETJOBS_EASY_AUTH=true", "FLEETJOBS_REQUIRE_ROLES=true",
		"FLEETJOBS_URL=http://localhost:7071", "FLEETJOBS_KEY=k", "FLEETJOBS_TOKEN=t", // of a client in the same shell
		"FLEETJOBS_APPROVER_KEY=a", "FLEETJOBS_HTTPS_URL=https://localhost:7443", "FLEETJOBS_CONNECTION_STRING=HostName=localhost",
	})
	require.NoError(t, err)
	require.Equal(t, "https://jobs.example.com/base", got.PublicURL)
	require.Equal(t, slog.LevelWarn, got.LogLevel.Level())
	require.True(t, got.EasyAuth && got.RequireRoles)
	require.Equal(t, 5*time.Minute, got.TickInterval)
	require.Equal(t, config.Hub{Hostname: "127.0.0.1:8443", CAFile: "/tmp/ca.pem"}, got.Hub)
	require.Equal(t, config.Storage{
		AccountName: "acct", BlobServiceURI: "https://acct.blob.core.windows.net", Credential: "managedidentity", ClientID: "6f9c2a3e-0000-0000-0000-000000000000",
	}, got.Storage)
}

func TestLocalAppsAreReachedByHTTP(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"localhost:7071": "http://localhost:7071", "127.0.0.1:80": "http://127.0.0.1:80", "a.b": "https://a.b",
	} {
		got, err := config.Load(minimal("WEBSITE_HOSTNAME=" + host))
		require.NoError(t, err)
		require.Equal(t, want, got.PublicURL)
	}
}

// One line per fault: name, value unless it is secret, rule.
func TestEveryFaultIsNamed(t *testing.T) {
	t.Parallel()
	const uri = "AzureWebJobsStorage__tableServiceUri=https://acct.table.core.windows.net"
	for _, tt := range []struct {
		changes string // separated by spaces
		want    string
	}{
		{"IOTHUB_CONNECTION_STRING=", "IOTHUB_CONNECTION_STRING: must be set, or IOTHUB_HOSTNAME"},
		{"IOTHUB_HOSTNAME=h.net", `IOTHUB_HOSTNAME="h.net": must not be set together with IOTHUB_CONNECTION_STRING`},
		{"IOTHUB_CONNECTION_STRING= IOTHUB_HOSTNAME=https://h.net", `IOTHUB_HOSTNAME="https://h.net": must be a host name`},
		{"IOTHUB_CONNECTION_STRING=x", "IOTHUB_CONNECTION_STRING: must be name=value pairs"},
		{"IOTHUB_CONNECTION_STRING=HostName=h.net;DeviceId=d;SharedAccessKey=eA==", "IOTHUB_CONNECTION_STRING: is a device's"},
		{"IOTHUB_CONNECTION_STRING=HostName=h/;SharedAccessKeyName=n;SharedAccessKey=eA==", "its HostName must be"},
		{"IOTHUB_CONNECTION_STRING=HostName=h.net;SharedAccessKey=eA==", "must have a SharedAccessKeyName"},
		{"IOTHUB_CONNECTION_STRING=HostName=h.net;SharedAccessKeyName=n;SharedAccessKey=!", "must have a base64 SharedAccessKey"},
		{"AzureWebJobsStorage=", "AzureWebJobsStorage: exactly one must be set"},
		{"AzureWebJobsStorage__accountName=acct", "AzureWebJobsStorage: exactly one must be set"},
		{"AzureWebJobsStorage=rubbish", "AzureWebJobsStorage: must be name=value pairs"},
		{"AzureWebJobsStorage=AccountName=acct", "AzureWebJobsStorage: must be UseDevelopmentStorage=true, or have"},
		{"AzureWebJobsStorage=AccountName=acct;AccountKey=!", "AzureWebJobsStorage: must have a base64 AccountKey"},
		{"AzureWebJobsStorage=AccountKey=eA==", "AzureWebJobsStorage: must have an AccountName"},
		{"AzureWebJobsStorage=SharedAccessSignature=s", "AzureWebJobsStorage: must have an AccountName"},
		{"AzureWebJobsStorage= AzureWebJobsStorage__accountName=NO", `AzureWebJobsStorage__accountName="NO": must be 3 to 24`},
		{"AzureWebJobsStorage= " + uri, "AzureWebJobsStorage__queueServiceUri: must be set, since the other"},
		{"AzureWebJobsStorage= AzureWebJobsStorage__accountName=acct " + uri + "?sig=x", "AzureWebJobsStorage__tableServiceUri: must be an https URL"},
		{"AzureWebJobsStorage__credential=managedidentity", "AzureWebJobsStorage__credential=\"managedidentity\": must not be set together"},
		{"AzureWebJobsStorage__clientId=x", "AzureWebJobsStorage__clientId=\"x\": must not be set together"},
		{"AzureWebJobsStorage= AzureWebJobsStorage__accountName=acct AzureWebJobsStorage__credential=key", `__credential="key": must be managedidentity`},
		{"AzureWebJobsStorage= AzureWebJobsStorage__accountName=acct AzureWebJobsStorage__clientId=x", `__clientId="x": must be the client id`},
		{
			"AzureWebJobsStorage= AzureWebJobsStorage__accountName=acct AzureWebJobsStorage__clientId=6f9c2a3e-0000-0000-0000-000000000000",
			"needs AzureWebJobsStorage__credential=managedidentity",
		},
		{"WEBSITE_HOSTNAME=", "FLEETJOBS_PUBLIC_URL: must be set where"},
		{"WEBSITE_HOSTNAME=a/b", `WEBSITE_HOSTNAME="a/b": must be a host name`},
		{"FLEETJOBS_PUBLIC_URL=jobs.example.com", `FLEETJOBS_PUBLIC_URL="jobs.example.com": must be an absolute http or https URL`},
		{"FLEETJOBS_PUBLIC_URL=ftp://x", `FLEETJOBS_PUBLIC_URL="ftp://x": must be`},
		{"FLEETJOBS_PUBLIC_URL=https://x?a=1", "FLEETJOBS_PUBLIC_URL=\"https://x?a=1\": must be"},
		{"FLEETJOBS_PUBLIC_URL=https://u:hidden@x", "FLEETJOBS_PUBLIC_URL: must be"},
		{"FLEETJOBS_HUB_TIER=B1", `FLEETJOBS_HUB_TIER="B1": must be F1, S1, S2, S3, or none for a hub without throttles`},
		{"FLEETJOBS_HUB_UNITS=0", `FLEETJOBS_HUB_UNITS="0": must be from 1 to 1000`},
		{"FLEETJOBS_METHODS_PER_SECOND=-1", `FLEETJOBS_METHODS_PER_SECOND="-1": must be 0, for the tier's, or from 0.1 to 1000000`},
		{"FLEETJOBS_QUERIES_PER_MINUTE=NaN", `FLEETJOBS_QUERIES_PER_MINUTE="NaN": must be 0, for the tier's, or from 0.1 to 1000000`},
		{"FLEETJOBS_MAX_CALLS_IN_FLIGHT=0", `FLEETJOBS_MAX_CALLS_IN_FLIGHT="0": must be from 1 to 10000`},
		{"FLEETJOBS_SLICE_SECONDS=601", `FLEETJOBS_SLICE_SECONDS="601": must be from 1 to 600`},
		{"FLEETJOBS_SLICE_SECONDS=1m", `FLEETJOBS_SLICE_SECONDS="1m": must be a whole number`},
		{"FLEETJOBS_LEASE_SECONDS=9", `FLEETJOBS_LEASE_SECONDS="9": must be from 10 to 300`},
		{"FLEETJOBS_EASY_AUTH=on", `FLEETJOBS_EASY_AUTH="on": must be true or false`},
		{"FLEETJOBS_REQUIRE_ROLES=true", `FLEETJOBS_REQUIRE_ROLES="true": needs FLEETJOBS_EASY_AUTH=true`},
		{"FLEETJOBS_LOG_LEVEL=INFO", `FLEETJOBS_LOG_LEVEL="INFO": must be debug, info, warn or error`},
		{"FLEETJOBS_TIMER_SCHEDULE=hourly", `FLEETJOBS_TIMER_SCHEDULE="hourly": must have six fields`},
		{"FLEETJOBS_SLICESECONDS=1", "FLEETJOBS_SLICESECONDS: is no setting of fleetjobs; did you mean FLEETJOBS_SLICE_SECONDS?"},
		{"fleetjobs_log_level=info", "fleetjobs_log_level: is no setting of fleetjobs; did you mean FLEETJOBS_LOG_LEVEL?"},
		{"FLEETJOBS_ANSWER=1", "FLEETJOBS_ANSWER: is no setting of fleetjobs"},
	} {
		_, err := config.Load(minimal(strings.Fields(tt.changes)...))
		require.ErrorContains(t, err, tt.want, tt.changes)
		lines := strings.Split(err.Error(), "\n")
		require.Equal(t, "read settings: 1 wrong", lines[0], err.Error())
		require.Len(t, lines, 2, err.Error())
	}
}

func TestAllFaultsAtOnceAndNoSecretAmongThem(t *testing.T) {
	t.Parallel()
	_, err := config.Load([]string{
		"IOTHUB_CONNECTION_STRING=HostName=h.net;SharedAccessKey=hidden1", "AzureWebJobsStorage=AccountName=acct;AccountKey=hidden2!",
		"FLEETJOBS_LOG_LEVEL=loud", "FLEETJOBS_LEASE_SECONDS=x", "FLEETJOBS_PASSWORD=hidden3", "FLEETJOBS_PUBLIC_URL=https://u:hidden4@x/",
	})
	var all *config.Error
	require.ErrorAs(t, err, &all)
	var names []string
	for _, f := range all.Faults {
		names = append(names, f.Name)
	}
	require.Equal(t, []string{
		"AzureWebJobsStorage", "FLEETJOBS_LEASE_SECONDS", "FLEETJOBS_LOG_LEVEL", "FLEETJOBS_PASSWORD", "FLEETJOBS_PUBLIC_URL",
		"IOTHUB_CONNECTION_STRING",
	}, names)
	require.NotContains(t, err.Error(), "hidden")
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	c, err := config.Load(minimal("AzureWebJobsStorage=" + storageConnection))
	require.NoError(t, err)
	require.Equal(t, storageConnection, c.Storage.ConnectionString.Reveal())
	asJSON, err := json.Marshal(c)
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "config", c, "hub", c.Hub.ConnectionString)
	for _, printed := range []string{
		string(asJSON), log.String(), fmt.Sprintf("%v %+v %#v", c, c, c), fmt.Sprintf("%s %q %x", c.Hub, c.Hub, c.Hub),
	} {
		require.NotContains(t, printed, "SharedAccessKey=")
		require.NotContains(t, printed, "AccountKey=")
		require.Contains(t, printed, "(secret)")
	}
}

// A function timeout kills every invocation of the process, so it must leave
// room for the longest call that may start at the end of a slice.
func TestFunctionTimeoutMustCoverTheLongestInvocation(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file, override, sku string
		slice               string
		timeout             time.Duration
		fault               string
	}{
		{file: `{"functionTimeout":"00:12:00"}`, timeout: 12 * time.Minute},
		{file: `{"functionTimeout":"00:11:59"}`, fault: `functionTimeout in host.json="00:11:59": must be at least 12m0s`},
		{file: `{"functionTimeout":"00:12:00"}`, slice: "61", fault: "must be at least 12m1s"},
		{file: `{"functionTimeout":"1.00:00:00.5"}`, timeout: 24 * time.Hour},
		{file: `{"functionTimeout":"-1"}`},
		{file: `{"functionTimeout":-1}`},
		{file: `{}`, timeout: 30 * time.Minute},
		{file: "\ufeff{\"functionTimeout\":null}", timeout: 30 * time.Minute},
		{file: `{}`, sku: "Dynamic", fault: `functionTimeout (default of the Consumption plan)="00:05:00"`},
		{file: `{}`, sku: "FlexConsumption", timeout: 30 * time.Minute},
		{file: `{"functionTimeout":"00:05:00"}`, override: "00:20:00", timeout: 20 * time.Minute},
		{file: `{}`, override: "00:10:00", fault: `AzureFunctionsJobHost__functionTimeout="00:10:00": must be at least`},
		{file: `{"functionTimeout":"30m"}`, fault: "must be hh:mm:ss"},
		{file: `{"functionTimeout":"24:00:00"}`, fault: "must have hours up to 23"},
		{file: `{"functionTimeout":"00:00:00"}`, fault: "must be longer than zero"},
		{file: `{`, fault: "parse host.json"},
		{fault: "read host.json"},
	} {
		root := t.TempDir()
		if tt.file != "" {
			require.NoError(t, os.WriteFile(filepath.Join(root, "host.json"), []byte(tt.file), 0o600))
		}
		c, err := config.Load(minimal("FUNCTIONS_APP_ROOT_PATH="+root, "WEBSITE_SKU="+tt.sku,
			"AzureFunctionsJobHost__functionTimeout="+tt.override, "FLEETJOBS_SLICE_SECONDS="+tt.slice))
		if tt.fault != "" {
			require.ErrorContains(t, err, tt.fault)
			continue
		}
		require.NoError(t, err, tt.file)
		require.Equal(t, tt.timeout, c.FunctionTimeout, tt.file)
	}
}

func TestShippedHostFileSuitsTheDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Load(minimal("FUNCTIONS_APP_ROOT_PATH=../.."))
	require.NoError(t, err)
	require.Equal(t, 30*time.Minute, c.FunctionTimeout)
}
