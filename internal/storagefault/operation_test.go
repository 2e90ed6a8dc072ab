package storagefault

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOperationNames(t *testing.T) {
	t.Parallel()
	entity := "/acct/jobs(PartitionKey='a',RowKey='b%2Fc')"
	for _, tc := range []struct {
		method, target, header string
		want                   string
	}{
		{"GET", entity, "", TableGet},
		{"PUT", entity, "If-Match: *", TableUpdate},
		{"PATCH", entity, "If-Match: W/\"1\"", TableUpdate},
		{"PATCH", entity, "", TableUpsert},
		{"MERGE", entity, "", TableUpsert},
		{"POST", entity, "X-HTTP-Method: MERGE", TableUpsert},
		{"DELETE", entity, "If-Match: *", TableDelete},
		{"GET", "/acct/jobs()?$top=5", "", TableQuery},
		{"GET", "/acct/jobs", "", TableQuery},
		{"POST", "/acct/jobs", "", TableInsert},
		{"POST", "/acct/$batch", "", TableBatch},
		{"POST", "/acct/Tables", "", TableCreateTable},
		{"GET", "/acct/Tables", "", TableListTables},
		{"DELETE", "/acct/Tables('jobs')", "", TableDeleteTable},
		{"GET", "/acct/?comp=properties", "", TableOther},
		{"GET", "/acct/jobs?comp=acl", "", TableOther},
	} {
		require.Equal(t, tc.want, tableOperation(newRequest(tc.method, tc.target, tc.header)), "%s %s", tc.method, tc.target)
	}
	for _, tc := range []struct{ method, target, want string }{
		{"POST", "/acct/work/messages?messagettl=-1", QueuePut},
		{"GET", "/acct/work/messages", QueueGet},
		{"GET", "/acct/work/messages?peekonly=true", QueuePeek},
		{"DELETE", "/acct/work/messages", QueueClear},
		{"PUT", "/acct/work/messages/id?popreceipt=x", QueueUpdate},
		{"DELETE", "/acct/work/messages/id?popreceipt=x", QueueDelete},
		{"PUT", "/acct/work", QueueCreateQueue},
		{"DELETE", "/acct/work", QueueDeleteQueue},
		{"GET", "/acct/work?comp=metadata", QueueProperties},
		{"PUT", "/acct/work?comp=metadata", QueueOther},
		{"GET", "/acct?comp=list", QueueOther},
	} {
		require.Equal(t, tc.want, queueOperation(newRequest(tc.method, tc.target, "")), "%s %s", tc.method, tc.target)
	}
}

func newRequest(method, target, header string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for name, value := range map[string]string{"If-Match": "", "X-HTTP-Method": ""} {
		if len(header) > len(name) && header[:len(name)] == name {
			value = header[len(name)+2:]
		}
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return r
}

func TestTheFirstRuleThatPicksARequestDecides(t *testing.T) {
	t.Parallel()
	s := newScript(Plan{Rules: []Rule{
		{Operation: TableGet, Nth: 2, Fault: LostReply},
		{Operation: "table", Fault: ServerBusy, Times: 2},
		{Fault: LostRequest},
	}})
	get := request{Request: newRequest("GET", "/acct/jobs(PartitionKey='a',RowKey='b')", ""), operation: TableGet}
	var faults []Fault
	for range 5 {
		faults = append(faults, s.pick(get).Fault)
	}
	require.Equal(t, []Fault{ServerBusy, LostReply, ServerBusy, LostRequest, LostRequest}, faults)
}

func TestAShareIsRepeatable(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (picked []bool, n int) {
		s := newScript(Plan{Seed: seed, Rules: []Rule{{Share: 0.25, Fault: ServerBusy}}})
		for range 1000 {
			hit := s.pick(request{Request: newRequest("GET", "/acct/jobs()", ""), operation: TableQuery}).Fault == ServerBusy
			picked = append(picked, hit)
			if hit {
				n++
			}
		}
		return picked, n
	}
	first, n := run(1)
	again, _ := run(1)
	other, _ := run(2)
	require.Equal(t, first, again)
	require.NotEqual(t, first, other)
	require.InDelta(t, 250, n, 60)
}
