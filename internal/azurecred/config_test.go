package azurecred

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

const testKey = "c2VjcmV0LWtleQ=="

func TestEndpointOfAConfiguration(t *testing.T) {
	t.Parallel()
	dev := func(port string) endpoint {
		return endpoint{
			url: "http://127.0.0.1:" + port + "/devstoreaccount1", account: emulatorAccount, key: emulatorKey, auth: authKey,
		}
	}
	for _, tc := range []struct {
		name           string
		config         Config
		tables, queues endpoint
	}{
		{
			name:   "emulator, short form",
			config: Config{ConnectionString: " usedevelopmentstorage=TRUE;\n"},
			tables: dev("10002"), queues: dev("10001"),
		},
		{
			name:   "emulator on another host",
			config: Config{ConnectionString: "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite"},
			tables: endpoint{url: "http://azurite:10002/devstoreaccount1", account: emulatorAccount, key: emulatorKey, auth: authKey},
			queues: endpoint{url: "http://azurite:10001/devstoreaccount1", account: emulatorAccount, key: emulatorKey, auth: authKey},
		},
		{
			name:   "as the portal shows it; the key ends in the separator's character",
			config: Config{ConnectionString: "DefaultEndpointsProtocol=https;AccountName=fleet;AccountKey=" + testKey + ";EndpointSuffix=core.chinacloudapi.cn"},
			tables: endpoint{url: "https://fleet.table.core.chinacloudapi.cn", account: "fleet", key: testKey, auth: authKey},
			queues: endpoint{url: "https://fleet.queue.core.chinacloudapi.cn", account: "fleet", key: testKey, auth: authKey},
		},
		{
			name:   "https and the public cloud are the defaults, an explicit endpoint wins",
			config: Config{ConnectionString: "AccountName=fleet;AccountKey=" + testKey + ";TableEndpoint=http://localhost:7/fleet/;BlobEndpoint=http://x"},
			tables: endpoint{url: "http://localhost:7/fleet", account: "fleet", key: testKey, auth: authKey},
			queues: endpoint{url: "https://fleet.queue.core.windows.net", account: "fleet", key: testKey, auth: authKey},
		},
		{
			name:   "signature with explicit endpoints",
			config: Config{ConnectionString: "TableEndpoint=https://t.example;QueueEndpoint=https://q.example;SharedAccessSignature=?sv=1&sig=a%3D"},
			tables: endpoint{url: "https://t.example", sas: "sv=1&sig=a%3D", auth: authSAS},
			queues: endpoint{url: "https://q.example", sas: "sv=1&sig=a%3D", auth: authSAS},
		},
		{
			name:   "identity by account name",
			config: Config{AccountName: "fleet"},
			tables: endpoint{url: "https://fleet.table.core.windows.net", auth: authToken},
			queues: endpoint{url: "https://fleet.queue.core.windows.net", auth: authToken},
		},
		{
			name:   "identity by service URIs",
			config: Config{AccountName: "x", TableServiceURI: "https://t.example/", QueueServiceURI: "https://q.example"},
			tables: endpoint{url: "https://t.example", auth: authToken},
			queues: endpoint{url: "https://q.example", auth: authToken},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tables, err := tc.config.endpoint(tableService)
			require.NoError(t, err)
			queues, err := tc.config.endpoint(queueService)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(tc.tables, tables, cmp.AllowUnexported(endpoint{})))
			require.Empty(t, cmp.Diff(tc.queues, queues, cmp.AllowUnexported(endpoint{})))

			for _, makeClient := range []func() error{
				func() error { _, err := Tables(tc.config); return err },
				func() error { _, err := Queues(tc.config); return err },
			} {
				require.NoError(t, makeClient())
			}
		})
	}
}

func TestRefusedConfigurations(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		config Config
		want   string
	}{
		{"nothing", Config{}, "storage is not configured"},
		{"no pairs", Config{ConnectionString: "SECRET"}, "part 1: want name=value"},
		{"twice", Config{ConnectionString: "AccountKey=SECRET;accountkey=SECRET"}, "part 2: the name occurs twice"},
		{"no authorization", Config{ConnectionString: "AccountName=fleet"}, "want AccountName and AccountKey"},
		{"key without account", Config{ConnectionString: "AccountKey=" + testKey}, "AccountKey without AccountName"},
		{"key that is not base64", Config{ConnectionString: "AccountName=fleet;AccountKey=SECRET!"}, "AccountKey: want base64"},
		{"development storage false", Config{ConnectionString: "UseDevelopmentStorage=false"}, "UseDevelopmentStorage: want true"},
		{"account name that would change the host", Config{ConnectionString: "AccountName=a/b?c;AccountKey=" + testKey}, "want TableEndpoint, or AccountName"},
		{"protocol", Config{ConnectionString: "AccountName=fleet;DefaultEndpointsProtocol=ftp;AccountKey=" + testKey}, "DefaultEndpointsProtocol"},
		{"signature without sig", Config{ConnectionString: "TableEndpoint=https://t;SharedAccessSignature=SECRET"}, "want a query string with sig"},
		{"signature in the endpoint", Config{ConnectionString: "TableEndpoint=https://t/?sig=SECRET;SharedAccessSignature=sig=SECRET"}, "TableEndpoint: want a URL without"},
		{"endpoint that is no URL", Config{ConnectionString: "TableEndpoint=https://SECRET%zz;SharedAccessSignature=sig=1"}, "TableEndpoint: want a URL such as"},
		{"identity over http", Config{TableServiceURI: "http://127.0.0.1:10002/devstoreaccount1"}, "an identity needs https"},
		{"account name as host", Config{AccountName: "fleet.example"}, "setting accountName"},
		{"only the other service", Config{QueueServiceURI: "https://q.example"}, "accountName or tableServiceUri"},
		{"unknown credential", Config{AccountName: "fleet", Credential: "SECRET"}, `want "managedidentity"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := Tables(tc.config)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "SECRET")
			require.NotContains(t, err.Error(), testKey)
		})
	}
}

func TestCredentialSettings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		config Config
		want   string
	}{
		{Config{}, "*azidentity.DefaultAzureCredential"},
		{Config{ClientID: "11111111-2222-3333-4444-555555555555"}, "*azidentity.ManagedIdentityCredential"},
		{Config{Credential: "ManagedIdentity"}, "*azidentity.ManagedIdentityCredential"},
	} {
		cred, err := tc.config.token()
		require.NoError(t, err)
		require.Equal(t, tc.want, fmt.Sprintf("%T", cred))
	}
}

func TestFromEnviron(t *testing.T) {
	t.Parallel()
	environ := []string{
		"AzureWebJobsStorage__accountName=fleet", "AZUREWEBJOBSSTORAGE__CLIENTID=id", "AzureWebJobsStorage__credential=managedidentity",
		"AzureWebJobsStorage__tableServiceUri=https://t", "AzureWebJobsStorage__queueServiceUri=https://q",
		"Other=UseDevelopmentStorage=true", "noise",
	}
	require.Equal(t, Config{
		AccountName: "fleet", ClientID: "id", Credential: "managedidentity",
		TableServiceURI: "https://t", QueueServiceURI: "https://q",
	}, FromEnviron("AzureWebJobsStorage", environ))
	require.Equal(t, Config{ConnectionString: "UseDevelopmentStorage=true"}, FromEnviron("Other", environ))
}

func TestPrintingAConfigurationHidesItsSecrets(t *testing.T) {
	t.Parallel()
	for _, config := range []Config{
		{ConnectionString: "AccountName=fleet;AccountKey=" + testKey},
		{ConnectionString: "TableEndpoint=https://t;QueueEndpoint=https://q;SharedAccessSignature=sig=" + testKey},
		{ConnectionString: "AccountKey=" + testKey}, // invalid
	} {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("start", "storage", config, "list", []any{config})
		require.NotContains(t, log.String(), testKey)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", config, config, config, &config), testKey)
	}
	require.Equal(t, "tables https://fleet.table.core.windows.net, queues https://fleet.queue.core.windows.net, by account key",
		Config{ConnectionString: "AccountName=fleet;AccountKey=" + testKey}.String())
}

// FuzzConnectionString checks that no text crashes the parser, that what it accepts makes clients with a usable URL,
// and that an error never repeats a value.
func FuzzConnectionString(f *testing.F) {
	for _, seed := range []string{
		"UseDevelopmentStorage=true", "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://[::1]:8",
		"DefaultEndpointsProtocol=https;AccountName=fleet;AccountKey=" + testKey + ";EndpointSuffix=core.windows.net",
		"TableEndpoint=http://127.0.0.1:1/a;QueueEndpoint=http://127.0.0.1:2/a;AccountName=a;AccountKey=AAAA",
		"TableEndpoint=https://t.example;SharedAccessSignature=sv=1&sig=a%3D", ";;=;a=b=c;", "AccountName=x;AccountName=y",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		config := Config{ConnectionString: text}
		for _, s := range []service{tableService, queueService} {
			e, err := config.endpoint(s)
			if err != nil {
				continue
			}
			if text == "" {
				t.Fatal("an empty string was accepted")
			}
			clean, err := checkURL(e.url)
			if err != nil || clean != e.url {
				t.Fatalf("accepted the URL %q (%v)", e.url, err)
			}
		}
		if _, err := Tables(config); err != nil {
			requireNoValue(t, text, err)
		}
		if _, err := Queues(config); err != nil {
			requireNoValue(t, text, err)
		}
	})
}

// requireNoValue fails if err repeats a value of the connection string that is long enough not to occur by chance.
func requireNoValue(t *testing.T, text string, err error) {
	t.Helper()
	for part := range strings.SplitSeq(text, ";") {
		_, value, _ := strings.Cut(part, "=")
		value = strings.TrimSpace(value)
		if len(value) >= 16 && !strings.Contains("https://account.table.core.windows.net UseDevelopmentStorage=true", value) &&
			strings.Contains(err.Error(), value) {
			t.Fatalf("the error repeats a value: %v", err)
		}
	}
}
