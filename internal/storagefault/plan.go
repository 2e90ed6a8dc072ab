package storagefault

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Fault is what happens to a request.
type Fault int

// The faults. None leaves the request alone, which is of use together with Rule.Delay.
const (
	None Fault = iota
	// ServerBusy answers 503 with the service's error body; nothing is executed.
	ServerBusy
	// OperationTimedOut answers 500 with the service's error body; nothing is executed.
	OperationTimedOut
	// OperationTimedOutLate answers as OperationTimedOut does, although the request was executed.
	OperationTimedOutLate
	// LostRequest cuts the connection before anything is executed.
	LostRequest
	// LostReply executes the request and cuts the connection before the reply. Go's HTTP client repeats a GET on a
	// reused connection by itself then.
	LostReply
	// ShortPage ends a page of TableQuery after Rule.PageSize entities, with a continuation if there are more.
	ShortPage
	// EmptyPage answers TableQuery with no entities and a continuation that resumes where the request began. The
	// request that resumes is not answered so again: every query ends.
	EmptyPage
)

// Rule chooses requests and says what happens to them. All conditions have to hold; an empty one always does.
type Rule struct {
	// Operation is a name such as TableQuery, or "table" or "queue" for all of a service. ShortPage and EmptyPage
	// apply to TableQuery only, whatever stands here.
	Operation string
	// Method is the HTTP method.
	Method string
	// Path is matched against the unescaped path, such as /account/jobs(PartitionKey='a',RowKey='b').
	Path *regexp.Regexp
	// Body is matched against the request's body. The path of a batch does not show what it changes: its body does.
	Body *regexp.Regexp

	// Nth, when not 0, picks the nth request only, counted from 1 among those that meet the conditions above.
	Nth int
	// Share, when not 0, picks that share (0 to 1) of the requests at random. With neither, all are picked.
	Share float64
	// Times, when not 0, is how often the rule applies at most.
	Times int

	// Delay is waited before anything else happens.
	Delay time.Duration
	// Fault happens after the delay.
	Fault Fault
	// PageSize is how many entities ShortPage lets through; 0 is 1.
	PageSize int
}

// Plan is an ordered list of rules: the first one that picks a request decides its fate alone. Later rules do not
// count a request that an earlier one picked.
type Plan struct {
	Rules []Rule
	// Seed makes the choices of Rule.Share repeatable for requests that come one after another.
	Seed uint64
}

// check refuses rules that could never do what they say.
func (p Plan) check() error {
	for i, r := range p.Rules {
		switch {
		case r.Share < 0 || r.Share > 1:
			return fmt.Errorf("rule %d: share %v: want 0 to 1", i, r.Share)
		case r.Nth != 0 && r.Share != 0:
			return fmt.Errorf("rule %d: want Nth or Share, not both", i)
		case r.Nth < 0 || r.Times < 0 || r.PageSize < 0 || r.Delay < 0:
			return fmt.Errorf("rule %d: negative number", i)
		case r.Fault < None || r.Fault > EmptyPage:
			return fmt.Errorf("rule %d: unknown fault %d", i, r.Fault)
		case !knownOperation(r.Operation):
			return fmt.Errorf("rule %d: unknown operation %q", i, r.Operation)
		}
	}
	return nil
}

func knownOperation(name string) bool {
	switch name {
	case "", "table", "queue",
		TableGet, TableQuery, TableInsert, TableUpdate, TableUpsert, TableDelete, TableBatch,
		TableCreateTable, TableDeleteTable, TableListTables, TableOther,
		QueuePut, QueueGet, QueuePeek, QueueUpdate, QueueDelete, QueueClear,
		QueueCreateQueue, QueueDeleteQueue, QueueProperties, QueueOther:
		return true
	}
	return false
}

// script is a plan at work.
type script struct {
	mu    sync.Mutex
	rules []ruleState
	rand  *rand.Rand
}

type ruleState struct {
	Rule
	seen, applied int
}

func newScript(p Plan) *script {
	s := &script{rand: rand.New(rand.NewPCG(p.Seed, 0x5eed))}
	for _, r := range p.Rules {
		s.rules = append(s.rules, ruleState{Rule: r})
	}
	return s
}

// request is what rules look at.
type request struct {
	*http.Request
	operation string
	body      []byte
	resumed   bool // after an empty page of ours
}

// pick returns the rule for a request, or the zero Rule.
func (s *script) pick(r request) Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.rules {
		if rule := &s.rules[i]; rule.matches(r) && s.applies(rule) {
			return rule.Rule
		}
	}
	return Rule{}
}

func (r Rule) matches(req request) bool {
	paging := r.Fault == ShortPage || r.Fault == EmptyPage
	switch {
	case r.Operation != "" && r.Operation != req.operation && !strings.HasPrefix(req.operation, r.Operation+"."):
		return false
	case r.Method != "" && r.Method != req.Method:
		return false
	case paging && req.operation != TableQuery:
		return false
	case r.Fault == EmptyPage && req.resumed:
		return false
	case r.Path != nil && !r.Path.MatchString(req.URL.Path):
		return false
	}
	return r.Body == nil || r.Body.Match(req.body)
}

// applies counts a request that matches and says whether it is picked.
func (s *script) applies(r *ruleState) bool {
	if r.Times != 0 && r.applied == r.Times {
		return false
	}
	r.seen++
	if r.Nth != 0 && r.seen != r.Nth || r.Share != 0 && s.rand.Float64() >= r.Share {
		return false
	}
	r.applied++
	return true
}
