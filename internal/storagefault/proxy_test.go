package storagefault_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurecred"
	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
)

func TestMain(m *testing.M) { azuritetest.Main(m) }

// world is a table and a queue behind a proxy.
type world struct {
	proxy *storagefault.Proxy
	table *aztables.Client
	queue *azqueue.QueueClient
}

// setup starts a proxy without faults; counts begin after the table and the queue are there.
func setup(t *testing.T) world {
	t.Helper()
	original := azuritetest.Start(t)
	proxy, err := storagefault.Start(original, storagefault.Plan{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	config := azurecred.Config{ConnectionString: proxy.ConnectionString(original)}
	tables, err := azurecred.Tables(config)
	require.NoError(t, err)
	_, err = tables.CreateTable(t.Context(), "jobs", nil)
	require.NoError(t, err)
	queues, err := azurecred.Queues(config)
	require.NoError(t, err)
	_, err = queues.CreateQueue(t.Context(), "work", nil)
	require.NoError(t, err)
	proxy.Reset()
	return world{proxy: proxy, table: tables.NewClient("jobs"), queue: queues.NewQueueClient("work")}
}

func (w world) plan(t *testing.T, rules ...storagefault.Rule) {
	t.Helper()
	require.NoError(t, w.proxy.SetPlan(storagefault.Plan{Rules: rules}))
}

// add inserts n entities with one batch.
func (w world) add(t *testing.T, n int) {
	t.Helper()
	var actions []aztables.TransactionAction
	for i := range n {
		actions = append(actions, aztables.TransactionAction{
			ActionType: aztables.TransactionTypeInsertReplace, Entity: entity(fmt.Sprintf("r%04d", i)),
		})
	}
	_, err := w.table.SubmitTransaction(t.Context(), actions, nil)
	require.NoError(t, err)
}

func entity(row string) []byte {
	return fmt.Appendf(nil, `{"PartitionKey":"p","RowKey":%q}`, row)
}

// pages returns the sizes of a query's pages.
func (w world) pages(t *testing.T, opts *aztables.ListEntitiesOptions) []int {
	t.Helper()
	var sizes []int
	for pager := w.table.NewListEntitiesPager(opts); pager.More(); {
		page, err := pager.NextPage(t.Context())
		require.NoError(t, err)
		sizes = append(sizes, len(page.Entities))
		require.Less(t, len(sizes), 100, "the query does not end")
	}
	return sizes
}

// once is a context for calls that must not be tried again.
func once(t *testing.T) context.Context {
	return policy.WithRetryOptions(t.Context(), policy.RetryOptions{MaxRetries: -1})
}

func requireResponse(t *testing.T, err error, status int, code string) {
	t.Helper()
	var response *azcore.ResponseError
	require.ErrorAs(t, err, &response)
	require.Equal(t, status, response.StatusCode)
	require.Equal(t, code, response.ErrorCode)
}

func TestWithoutAPlanTheProxyOnlyCounts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.add(t, 10)
	require.Equal(t, []int{10}, w.pages(t, nil))
	_, err := w.table.AddEntity(t.Context(), entity("it's % 漢"), nil)
	require.NoError(t, err)
	_, err = w.table.GetEntity(t.Context(), "p", "it's % 漢", nil)
	require.NoError(t, err)
	_, err = w.table.GetEntity(t.Context(), "p", "missing", nil)
	requireResponse(t, err, http.StatusNotFound, "ResourceNotFound")
	_, err = w.table.UpdateEntity(t.Context(), entity("r0000"), nil) // If-Match: *
	require.NoError(t, err)
	_, err = w.table.UpsertEntity(t.Context(), entity("r0000"), nil)
	require.NoError(t, err)
	_, err = w.table.DeleteEntity(t.Context(), "p", "r0001", nil)
	require.NoError(t, err)

	_, err = w.queue.EnqueueMessage(t.Context(), "x", nil)
	require.NoError(t, err)
	got, err := w.queue.DequeueMessage(t.Context(), nil)
	require.NoError(t, err)
	message := got.Messages[0]
	updated, err := w.queue.UpdateMessage(t.Context(), *message.MessageID, *message.PopReceipt, "y", nil)
	require.NoError(t, err)
	_, err = w.queue.DeleteMessage(t.Context(), *message.MessageID, *updated.PopReceipt, nil)
	require.NoError(t, err)
	_, err = w.queue.PeekMessage(t.Context(), nil)
	require.NoError(t, err)
	_, err = w.queue.GetProperties(t.Context(), nil)
	require.NoError(t, err)

	requests := map[string]int{}
	for operation, c := range w.proxy.Counts() {
		requests[operation] = c.Requests
		require.Equal(t, c.Requests, c.Executed, operation)
		require.Zero(t, c.Faults, operation)
	}
	require.Equal(t, map[string]int{
		"table.Batch": 1, "table.Query": 1, "table.Insert": 1, "table.Get": 2, "table.Update": 1, "table.Upsert": 1, "table.Delete": 1,
		"queue.Put": 1, "queue.Get": 1, "queue.Update": 1, "queue.Delete": 1, "queue.Peek": 1, "queue.Properties": 1,
	}, requests)
	require.Greater(t, w.proxy.Counts()[storagefault.TableBatch].Sent, int64(10*len(entity("r0000"))))
	require.Positive(t, w.proxy.Counts()[storagefault.TableQuery].Received)

	w.proxy.Reset()
	require.Empty(t, w.proxy.Counts())
}

func TestErrorsLookLikeTheService(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, tc := range []struct {
		fault    storagefault.Fault
		status   int
		code     string
		executed int
	}{
		{storagefault.ServerBusy, http.StatusServiceUnavailable, "ServerBusy", 0},
		{storagefault.OperationTimedOut, http.StatusInternalServerError, "OperationTimedOut", 0},
		{storagefault.OperationTimedOutLate, http.StatusInternalServerError, "OperationTimedOut", 1},
	} {
		w.proxy.Reset()
		w.plan(t, storagefault.Rule{Fault: tc.fault})
		_, err := w.table.UpsertEntity(once(t), entity("a"), nil)
		requireResponse(t, err, tc.status, tc.code)
		_, err = w.queue.EnqueueMessage(once(t), "x", nil)
		requireResponse(t, err, tc.status, tc.code)
		var response *azcore.ResponseError
		require.ErrorAs(t, err, &response)
		require.Equal(t, tc.code, response.RawResponse.Header.Get("x-ms-error-code"), "queues repeat the code in a header")
		for _, operation := range []string{storagefault.TableUpsert, storagefault.QueuePut} {
			c := w.proxy.Counts()[operation]
			require.Equal(t, []int{1, tc.executed, 1}, []int{c.Requests, c.Executed, c.Faults}, operation)
		}
	}
}

func TestClientsGetOverABusyService(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.plan(t, storagefault.Rule{Operation: "table", Fault: storagefault.ServerBusy, Times: 3})
	_, err := w.table.AddEntity(t.Context(), entity("a"), nil)
	require.NoError(t, err)
	c := w.proxy.Counts()[storagefault.TableInsert]
	require.Equal(t, []int{4, 1, 3}, []int{c.Requests, c.Executed, c.Faults})
}

// The client tries again after a lost reply and meets its own work: an insert and a conditional update look like
// conflicts, a message is sent twice.
func TestALostReplyHidesThatTheRequestWasExecuted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	lostOnce := storagefault.Rule{Fault: storagefault.LostReply, Times: 1}

	w.plan(t, lostOnce)
	_, err := w.table.AddEntity(t.Context(), entity("a"), nil)
	requireResponse(t, err, http.StatusConflict, "EntityAlreadyExists")

	got, err := w.table.GetEntity(t.Context(), "p", "a", nil)
	require.NoError(t, err)
	w.plan(t, lostOnce)
	_, err = w.table.UpdateEntity(t.Context(), entity("a"), &aztables.UpdateEntityOptions{
		IfMatch: &got.ETag, UpdateMode: aztables.UpdateModeReplace,
	})
	requireResponse(t, err, http.StatusPreconditionFailed, "UpdateConditionNotSatisfied")

	w.plan(t, lostOnce)
	_, err = w.queue.EnqueueMessage(t.Context(), "x", nil)
	require.NoError(t, err)
	properties, err := w.queue.GetProperties(t.Context(), nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, *properties.ApproximateMessagesCount)
}

func TestALostRequestIsNotExecuted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.plan(t, storagefault.Rule{Operation: storagefault.TableInsert, Fault: storagefault.LostRequest})
	_, err := w.table.AddEntity(once(t), entity("a"), nil)
	require.ErrorContains(t, err, "EOF")
	_, err = w.table.GetEntity(t.Context(), "p", "a", nil)
	requireResponse(t, err, http.StatusNotFound, "ResourceNotFound")
}

func TestShortPages(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.add(t, 10)
	w.plan(t, storagefault.Rule{Fault: storagefault.ShortPage, PageSize: 4})
	require.Equal(t, []int{4, 4, 2}, w.pages(t, nil))
	filtered := &aztables.ListEntitiesOptions{Filter: new("PartitionKey eq 'p' and RowKey lt 'r0005'")}
	require.Equal(t, []int{4, 1}, w.pages(t, filtered))
	require.Equal(t, []int{3, 3, 3, 1}, w.pages(t, &aztables.ListEntitiesOptions{Top: to.Ptr[int32](3)}), "a smaller $top stays")
}

func TestEmptyPagesResumeWhereTheRequestBegan(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.add(t, 10)
	four := &aztables.ListEntitiesOptions{Top: to.Ptr[int32](4)}

	w.plan(t, storagefault.Rule{Fault: storagefault.EmptyPage})
	require.Equal(t, []int{0, 4, 0, 4, 0, 2}, w.pages(t, four), "an empty page before each page")
	w.plan(t, storagefault.Rule{Fault: storagefault.EmptyPage, Nth: 2})
	require.Equal(t, []int{4, 0, 4, 2}, w.pages(t, four))
	w.plan(t, storagefault.Rule{Fault: storagefault.EmptyPage}, storagefault.Rule{Fault: storagefault.ShortPage, PageSize: 6})
	require.Equal(t, []int{0, 6, 0, 4}, w.pages(t, nil), "the page after an empty one may be short")
}

func TestRulesChooseByPathAndBody(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.plan(t,
		storagefault.Rule{Path: regexp.MustCompile(`RowKey='a/b'`), Fault: storagefault.ServerBusy},
		storagefault.Rule{Operation: storagefault.TableBatch, Body: regexp.MustCompile(`"r0001"`), Fault: storagefault.ServerBusy, Times: 1})
	_, err := w.table.GetEntity(once(t), "p", "a/b", nil)
	requireResponse(t, err, http.StatusServiceUnavailable, "ServerBusy")
	w.add(t, 1)
	require.Zero(t, w.proxy.Counts()[storagefault.TableBatch].Faults)
	w.add(t, 2)
	require.Equal(t, 1, w.proxy.Counts()[storagefault.TableBatch].Faults)
}

func TestADelayEndsWithTheClientAndWithTheProxy(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.plan(t, storagefault.Rule{Operation: storagefault.TableGet, Delay: time.Hour}, storagefault.Rule{Delay: 30 * time.Millisecond})
	begin := time.Now()
	_, err := w.table.AddEntity(t.Context(), entity("a"), nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begin), 30*time.Millisecond)

	failed := make(chan error, 1)
	delayed := func(ctx context.Context, requests int) {
		go func() {
			_, err := w.table.GetEntity(ctx, "p", "a", nil)
			failed <- err
		}()
		require.Eventually(t, func() bool { return w.proxy.Counts()[storagefault.TableGet].Requests == requests }, time.Minute, time.Millisecond)
	}
	ctx, cancel := context.WithCancel(once(t))
	delayed(ctx, 1)
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)

	delayed(once(t), 2)
	require.NoError(t, w.proxy.Close())
	require.Error(t, <-failed)
}

func TestImpossiblePlansAreRefused(t *testing.T) {
	t.Parallel()
	for want, rule := range map[string]storagefault.Rule{
		"want 0 to 1":       {Share: 1.5},
		"not both":          {Share: 0.5, Nth: 1},
		"negative":          {Times: -1},
		"unknown fault":     {Fault: 99},
		"unknown operation": {Operation: "table.Frobnicate"},
	} {
		_, err := storagefault.Start("TableEndpoint=http://127.0.0.1:1/a", storagefault.Plan{Rules: []storagefault.Rule{rule}})
		require.ErrorContains(t, err, want)
	}
}

func TestConnectionStrings(t *testing.T) {
	t.Parallel()
	_, err := storagefault.Start("UseDevelopmentStorage=true", storagefault.Plan{})
	require.ErrorContains(t, err, "neither TableEndpoint nor QueueEndpoint")
	_, err = storagefault.Start("AccountKey=SECRET;TableEndpoint=https://SECRET", storagefault.Plan{})
	require.ErrorContains(t, err, "TableEndpoint: want an http URL")
	require.NotContains(t, err.Error(), "SECRET")

	proxy, err := storagefault.Start("TableEndpoint=http://127.0.0.1:1/a", storagefault.Plan{})
	require.NoError(t, err)
	defer func() { require.NoError(t, proxy.Close()) }()
	require.Regexp(t, `^AccountKey=a==;TableEndpoint=http://127\.0\.0\.1:\d+/other;QueueEndpoint=http://127.0.0.1:12/other;$`,
		proxy.ConnectionString("AccountKey=a==;TableEndpoint=http://127.0.0.1:1/other;QueueEndpoint=http://127.0.0.1:12/other;"))
	require.NotContains(t, proxy.ConnectionString("TableEndpoint=http://127.0.0.1:1/other"), "127.0.0.1:1/")
}
