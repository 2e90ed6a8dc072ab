package dispatch

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// TestMain lets more tests run at once than there are cores: most of them wait for leases and delays nearly all the time.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	http.DefaultTransport.(*http.Transport).IdleConnTimeout = 2 * time.Second // before Azurite closes what it has not used for five
	azuritetest.Main(m)
}

// world is everything around a dispatcher: Azurite behind real aztables clients, a queue that delivers as the Functions
// host does, a hub whose devices do what the test says, and processes that can be killed.
type world struct {
	t       *testing.T
	storage string
	queue   *testQueue
	hub     *testHub
	others  []*testHub // further hubs: hub-2, hub-3 and so on
	opts    Options
	exports func(*process) *Export // of a process, nil without
	pass    func(time.Duration)    // lets time pass whenever there is nothing to do, nil for worlds that wait

	calls sync.WaitGroup // deliveries under way
	slots chan struct{}

	mu   sync.Mutex
	proc *process
	feed *process // that gets the feed messages, nil for proc
}

// process is one life of the handler. Once killed, none of its storage and hub requests leaves it.
type process struct {
	d    *Dispatcher
	dead context.CancelCauseFunc
	ctx  context.Context
	left atomic.Int64 // requests until it dies
}

var errKilled = errors.New("the process was killed")

func newWorld(t *testing.T, opts Options, others ...*testHub) *world {
	t.Helper()
	return newWorldOn(t, azuritetest.Start(t), opts, others...)
}

// newWorldOn is newWorld on a storage account.
func newWorldOn(t *testing.T, storage string, opts Options, others ...*testHub) *world {
	t.Helper()
	w := &world{
		t: t, storage: storage, queue: &testQueue{}, hub: newTestHub(), others: others, opts: opts, slots: make(chan struct{}, 64),
	}
	t.Cleanup(w.calls.Wait)
	w.opts.Logger = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.boot(0)
	return w
}

// newMortalWorld is newWorld for a process that is to die. While there is something to do time goes on as it is, so that no claim
// lapses because the machine is slow, and whenever there is nothing some seconds pass at once, until what the dead one held is free.
func newMortalWorld(t *testing.T, opts Options, others ...*testHub) *world {
	t.Helper()
	clock := &movedClock{base: time.Now(), real: time.Now()}
	opts.Now = clock.now
	w := newWorld(t, opts, others...)
	w.hurries(clock.jump)
	return w
}

// hurries has a world whose clock the test moves move it whenever there is nothing to do.
func (w *world) hurries(pass func(time.Duration)) {
	w.pass, w.queue.now = pass, w.opts.Now
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// boot starts a process that dies at its dieAt-th storage request, or never when dieAt is 0.
func (w *world) boot(dieAt int64) *process {
	ctx, dead := context.WithCancelCause(context.Background())
	p := &process{ctx: ctx, dead: dead}
	p.left.Store(dieAt)
	client, err := aztables.NewServiceClientFromConnectionString(w.storage, &aztables.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: p, Retry: policy.RetryOptions{MaxRetries: -1}},
	})
	require.NoError(w.t, err)
	store := tablestore.New(client, "testhub", nil)
	if dieAt == 0 {
		require.NoError(w.t, store.Ensure(ctx))
	}
	opts := w.opts
	for i, h := range w.others {
		name := fmt.Sprintf("hub-%d", i+2)
		opts.Hubs = append(opts.Hubs, FurtherHub{Name: name, HostName: name + ".test", Hub: mortal{p, w.queue}.hub(h), Rates: opts.Rates})
	}
	if w.exports != nil {
		opts.Retention.Export = w.exports(p)
	}
	p.d = New(store, mortal{p, w.queue}, mortal{p, w.queue}.hub(w.hub), opts)
	w.mu.Lock()
	w.proc = p
	w.mu.Unlock()
	return p
}

// Do carries out one storage request of a process that lives.
func (p *process) Do(r *http.Request) (*http.Response, error) {
	if p.left.Load() > 0 && p.left.Add(-1) == 0 {
		p.dead(errKilled)
	}
	if p.ctx.Err() != nil {
		return nil, errKilled
	}
	return http.DefaultClient.Do(r)
}

// mortal keeps a dead process from sending messages and calling devices.
type mortal struct {
	p *process
	q *testQueue
}

func (m mortal) Send(ctx context.Context, body []byte, delay time.Duration) error {
	if m.p.ctx.Err() != nil {
		return errKilled
	}
	return m.q.Send(ctx, body, delay)
}

func (m mortal) hub(h *testHub) Hub { return mortalHub{m.p, h} }

type mortalHub struct {
	p *process
	h *testHub
}

func (m mortalHub) InvokeMethod(ctx context.Context, id string, c *iothub.Method) (iothub.MethodResult, error) {
	if m.p.ctx.Err() != nil {
		return iothub.MethodResult{}, &iothub.Error{Kind: iothub.Canceled}
	}
	return m.h.InvokeMethod(ctx, id, c)
}

func (m mortalHub) UpdateTwin(ctx context.Context, id string, p *iothub.TwinPatch) error {
	if m.p.ctx.Err() != nil {
		return &iothub.Error{Kind: iothub.Canceled}
	}
	return m.h.UpdateTwin(ctx, id, p)
}

func (m mortalHub) QueryPage(ctx context.Context, q, c string, n int) (iothub.Page, error) {
	if m.p.ctx.Err() != nil {
		return iothub.Page{}, &iothub.Error{Kind: iothub.Canceled}
	}
	return m.h.QueryPage(ctx, q, c, n)
}

// current gives the process that lives, booting one after a death as the host does.
func (w *world) current() *process {
	w.mu.Lock()
	p := w.proc
	w.mu.Unlock()
	if p.ctx.Err() != nil {
		return w.boot(0)
	}
	return p
}

// run delivers messages and ticks until done says so.
func (w *world) run(done func(ctx context.Context) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute) // a busy machine needs most of one
	defer cancel()
	ticks := time.NewTicker(300 * time.Millisecond)
	defer ticks.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		if done(ctx) {
			return
		}
		require.NoError(w.t, ctx.Err(), "the run did not come to its end")
		select {
		case <-ticks.C:
			w.calls.Go(func() { _ = w.current().d.Tick(w.t.Context()) }) // a killed process fails; the next tick repairs
		case <-poll.C:
		}
		due := w.queue.receive()
		if w.pass != nil && len(due) == 0 && len(w.slots) == 0 {
			w.pass(3 * time.Second)
		}
		for _, m := range due {
			w.slots <- struct{}{}
			w.calls.Go(func() {
				defer func() { <-w.slots }()
				w.deliver(w.t.Context(), m)
			})
		}
	}
}

func (w *world) deliver(ctx context.Context, m *queued) {
	p := w.current()
	if parsed, err := parseMessage(m.body); err == nil && parsed.Kind == kindFeed && w.feed != nil {
		p = w.feed
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(p.ctx, end)() // what is dead does not try again for a minute
	err := p.d.Handle(ctx, Delivery{Body: m.body, Owner: fmt.Sprintf("%p-%d-%d", p, m.id, m.count), Redelivered: m.count > 1})
	if p.ctx.Err() != nil {
		err = errKilled // the host never got the answer
	}
	if err != nil {
		w.t.Logf("delivery %d of %s failed: %v", m.count, m.body, err)
	}
	w.queue.settle(m, err)
}

// create stores a job and returns its id.
func (w *world) create(body string) string {
	w.t.Helper()
	def, err := job.Decode([]byte(body), time.Now())
	require.NoError(w.t, err)
	rec, err := w.current().d.Create(w.t.Context(), def, "", someone())
	require.NoError(w.t, err)
	return rec.JobID
}

// occupy takes every slot of a process, so that its planner leaves all shards to the queue, until the returned function.
func occupy(d *Dispatcher) func() {
	for range cap(d.slots) {
		d.slots <- struct{}{}
	}
	return func() {
		for range cap(d.slots) {
			<-d.slots
		}
	}
}

// status gives the run of a job as the store knows it.
func (w *world) status(id string) *job.Run {
	w.t.Helper()
	store := w.observer()
	rec, err := store.Job(w.t.Context(), id)
	require.NoError(w.t, err)
	run, err := store.Run(w.t.Context(), rec.RunID)
	require.NoError(w.t, err)
	return run
}

// observer is a store that belongs to no process.
func (w *world) observer() *tablestore.Store {
	client, err := aztables.NewServiceClientFromConnectionString(w.storage, nil)
	require.NoError(w.t, err)
	return tablestore.New(client, "testhub", nil)
}

// ended delivers messages until the job has a final status in its own row too.
func (w *world) ended(id string) *job.Run {
	w.t.Helper()
	return w.endedAfter(id, func() {})
}

// endedAfter is ended with something that happens again and again meanwhile.
func (w *world) endedAfter(id string, meanwhile func()) *job.Run {
	w.t.Helper()
	store := w.observer()
	w.run(func(ctx context.Context) bool {
		meanwhile()
		rec, err := store.Job(ctx, id)
		return err == nil && rec.Status.Ended()
	})
	return w.status(id)
}

// executions reads every execution of a run.
func (w *world) executions(run *job.Run) map[string]job.Execution {
	w.t.Helper()
	shards, err := w.observer().Shards(w.t.Context(), run.ID, tablestore.ShardQuery{Always: -1})
	require.NoError(w.t, err)
	all := map[string]job.Execution{}
	for _, s := range shards {
		for _, e := range s.Executions {
			if _, twice := all[e.DeviceID]; twice {
				w.t.Fatalf("%s stands in two shards", e.DeviceID)
			}
			if run.NeverEnqueued(s.Number) {
				e.End(run.Unreached(), run.EndedAt)
			}
			all[e.DeviceID] = e
		}
	}
	return all
}
