package azurecred_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurecred"
	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
)

func TestMain(m *testing.M) { azuritetest.Main(m) }

func TestClientsReachAzuriteByAccountKey(t *testing.T) {
	t.Parallel()
	config := azurecred.Config{ConnectionString: azuritetest.Start(t)}
	requireUsable(t, config)
}

func TestClientsReachAzuriteBySignature(t *testing.T) {
	t.Parallel()
	conn := azuritetest.Start(t)
	key, err := aztables.NewSharedKeyCredential(part(t, conn, "AccountName"), part(t, conn, "AccountKey"))
	require.NoError(t, err)
	sas, err := aztables.AccountSASSignatureValues{
		Protocol: aztables.SASProtocolHTTPSandHTTP, ExpiryTime: time.Now().Add(time.Hour),
		Permissions: "rwdlacu", Services: "qt", ResourceTypes: "sco",
	}.Sign(key)
	require.NoError(t, err)

	requireUsable(t, azurecred.Config{
		ConnectionString: "TableEndpoint=" + part(t, conn, "TableEndpoint") + ";QueueEndpoint=" + part(t, conn, "QueueEndpoint") +
			";SharedAccessSignature=" + sas.Encode(),
	})
}

func TestAFailingCallDoesNotShowTheSignature(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close()) // nobody answers there
	base := "http://" + listener.Addr().String()
	config := azurecred.Config{
		ConnectionString: "TableEndpoint=" + base + ";QueueEndpoint=" + base + ";SharedAccessSignature=sv=1&sig=SECRET",
	}
	tables, err := azurecred.Tables(config)
	require.NoError(t, err)
	_, err = tables.CreateTable(once(t), "jobs", nil)
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "SECRET")

	queues, err := azurecred.Queues(config)
	require.NoError(t, err)
	_, err = queues.CreateQueue(once(t), "work", nil)
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "SECRET")
}

func TestATransientFaultIsTriedFiveTimesFast(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	tables, err := azurecred.Tables(azurecred.Config{
		ConnectionString: "AccountName=fleet;AccountKey=AAAA;TableEndpoint=" + server.URL,
	})
	require.NoError(t, err)
	begin := time.Now()
	_, err = tables.CreateTable(t.Context(), "jobs", nil)
	var response *azcore.ResponseError
	require.ErrorAs(t, err, &response)
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.EqualValues(t, 5, calls.Load())
	require.Less(t, time.Since(begin), 9*time.Second, "the retries of a loopback endpoint are meant to be fast: those of Azure take ten")
}

// An identity sends its token to the service, and never over plain http.
func TestIdentityTokensAreForStorage(t *testing.T) {
	t.Parallel()
	asked := make(chan []string, 10)
	config := azurecred.Config{
		TableServiceURI: "https://127.0.0.1:1", QueueServiceURI: "https://127.0.0.1:1",
		Token: credentialFunc(func(scopes []string) { asked <- scopes }),
	}
	tables, err := azurecred.Tables(config)
	require.NoError(t, err)
	_, err = tables.CreateTable(once(t), "jobs", nil)
	require.ErrorContains(t, err, "connection refused")
	require.Equal(t, []string{"https://storage.azure.com/.default"}, <-asked)

	queues, err := azurecred.Queues(config)
	require.NoError(t, err)
	_, err = queues.CreateQueue(once(t), "work", nil)
	require.ErrorContains(t, err, "connection refused")
	require.Equal(t, []string{"https://storage.azure.com/.default"}, <-asked)
}

func requireUsable(t *testing.T, config azurecred.Config) {
	t.Helper()
	tables, err := azurecred.Tables(config)
	require.NoError(t, err)
	_, err = tables.CreateTable(t.Context(), "jobs", nil)
	require.NoError(t, err)
	queues, err := azurecred.Queues(config)
	require.NoError(t, err)
	_, err = queues.CreateQueue(t.Context(), "work", nil)
	require.NoError(t, err)
}

// once is a context for calls that must not be tried again.
func once(t *testing.T) context.Context {
	return policy.WithRetryOptions(t.Context(), policy.RetryOptions{MaxRetries: -1})
}

// part returns one value of a connection string.
func part(t *testing.T, conn, name string) string {
	t.Helper()
	for kv := range strings.SplitSeq(conn, ";") {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	require.Failf(t, "no such part", "%s", name)
	return ""
}

type credentialFunc func(scopes []string)

// GetToken implements azcore.TokenCredential.
func (f credentialFunc) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	f(o.Scopes)
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}
