package azurite

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// helperVariable makes this test binary start an emulator, tell where it is, and wait to be killed.
const helperVariable = "FLEETJOBS_AZURITE_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) != "" {
		a, err := Start(context.Background(), Options{Log: os.Stderr})
		if err != nil {
			_, _ = fmt.Fprintln(os.Stdout, "error", err)
			os.Exit(1)
		}
		_, _ = fmt.Fprintln(os.Stdout, "ready", a.TableURL(), a.QueueURL(), a.scratch.path)
		select {}
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, opts Options) *Azurite {
	t.Helper()
	opts.Log = testLog{t}
	a, err := Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

type testLog struct{ t *testing.T }

// Write implements io.Writer.
func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

// clients returns clients that do not try again.
func clients(t *testing.T, connectionString string) (*aztables.ServiceClient, *azqueue.ServiceClient) {
	t.Helper()
	opts := azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}}
	tables, err := aztables.NewServiceClientFromConnectionString(connectionString, &aztables.ClientOptions{ClientOptions: opts})
	require.NoError(t, err)
	queues, err := azqueue.NewServiceClientFromConnectionString(connectionString, &azqueue.ClientOptions{ClientOptions: opts})
	require.NoError(t, err)
	return tables, queues
}

func TestTheZeroOptionsServeTheWellKnownAccount(t *testing.T) {
	t.Parallel()
	a := start(t, Options{})
	require.Contains(t, a.ConnectionString(""), "AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNO")
	tables, queues := clients(t, a.ConnectionString(""))
	_, err := tables.CreateTable(t.Context(), "jobs", nil)
	require.NoError(t, err)
	_, err = queues.CreateQueue(t.Context(), "work", nil)
	require.NoError(t, err)

	scratch := a.scratch.path
	require.DirExists(t, scratch)
	require.NoError(t, a.Close())
	require.NoDirExists(t, scratch)
	requireClosed(t, a.TableURL())
	requireClosed(t, a.QueueURL())
	<-a.Exited()
	require.NoError(t, a.Close(), "closing twice")
}

func TestAccountsAreApart(t *testing.T) {
	t.Parallel()
	a := start(t, Options{Accounts: []string{"first", "second"}})
	require.Equal(t, a.ConnectionString("first"), a.ConnectionString(""))
	for _, account := range []string{"first", "second"} {
		tables, _ := clients(t, a.ConnectionString(account))
		_, err := tables.CreateTable(t.Context(), "jobs", nil)
		require.NoError(t, err, account)
	}
	tables, _ := clients(t, a.ConnectionString("third"))
	_, err := tables.CreateTable(t.Context(), "jobs", nil)
	require.Error(t, err, "an account that is not served")
	tables, _ = clients(t, strings.ReplaceAll(a.ConnectionString("first"), Account("first").Key, Account("second").Key))
	_, err = tables.CreateTable(t.Context(), "other", nil)
	require.Error(t, err, "the key of another account")
}

func TestAFolderKeepsTablesAndMessages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	a := start(t, Options{Dir: dir})
	tables, queues := clients(t, a.ConnectionString(""))
	_, err := tables.CreateTable(t.Context(), "jobs", nil)
	require.NoError(t, err)
	_, err = tables.NewClient("jobs").AddEntity(t.Context(), []byte(`{"PartitionKey":"p","RowKey":"r","Note":"kept"}`), nil)
	require.NoError(t, err)
	_, err = queues.CreateQueue(t.Context(), "work", nil)
	require.NoError(t, err)
	_, err = queues.NewQueueClient("work").EnqueueMessage(t.Context(), "kept", nil)
	require.NoError(t, err)
	require.NoError(t, a.Close())

	again := start(t, Options{Dir: dir})
	tables, queues = clients(t, again.ConnectionString(""))
	entity, err := tables.NewClient("jobs").GetEntity(t.Context(), "p", "r", nil)
	require.NoError(t, err)
	require.Contains(t, string(entity.Value), `"Note":"kept"`)
	got, err := queues.NewQueueClient("work").DequeueMessage(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, got.Messages, 1)
	require.Equal(t, "kept", *got.Messages[0].MessageText)
}

func TestExitedTellsOfADeadService(t *testing.T) {
	t.Parallel()
	a := start(t, Options{})
	select {
	case <-a.Exited():
		t.Fatal("exited while both services run")
	default:
	}
	require.NoError(t, a.queues.cmd.Process.Kill())
	<-a.Exited()
}

func TestAPortThatIsTakenIsAnError(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	_, err = Start(t.Context(), Options{TablePort: listener.Addr().(*net.TCPAddr).Port})
	require.ErrorIs(t, err, errPortTaken)
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	_, err := Install(t.Context(), testLog{t})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = Start(ctx, Options{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestRefusedAccounts(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"ab"}, {"Upper"}, {"with;semi"}, {"ok1", ""}} {
		_, err := Start(t.Context(), Options{Accounts: names})
		require.ErrorContains(t, err, "want 3 to 24 lower-case letters and digits")
	}
	many := make([]string, 5000)
	for i := range many {
		many[i] = fmt.Sprintf("account%d", i)
	}
	_, err := Start(t.Context(), Options{Accounts: many})
	require.ErrorContains(t, err, "do not fit")
}

// Whatever kills the process that started the services, they go with it, and the next start removes what they left.
func TestServicesDieWithTheirParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells children of their parent's death")
	}
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperVariable+"=1")
	out, err := helper.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, helper.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	var tables, queues, scratch string
	_, err = fmt.Sscanf(line, "ready %s %s %s", &tables, &queues, &scratch)
	require.NoError(t, err, line)

	require.NoError(t, removeIfStale(scratch, time.Now().Add(time.Hour)))
	require.DirExists(t, scratch, "the folder of a living process is never stale")
	require.NoError(t, helper.Process.Kill())
	require.Error(t, helper.Wait())
	requireClosed(t, tables)
	requireClosed(t, queues)
	require.NoError(t, removeIfStale(scratch, time.Now()))
	require.DirExists(t, scratch, "too young: another process may be about to lock it")
	require.NoError(t, removeIfStale(scratch, time.Now().Add(time.Hour)))
	require.NoDirExists(t, scratch)
}

func requireClosed(t *testing.T, url string) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, time.Minute, 10*time.Millisecond, url)
}
