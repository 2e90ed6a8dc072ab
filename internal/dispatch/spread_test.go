package dispatch

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// crowd watches how many devices of a site are called at once.
type crowd struct {
	mu       sync.Mutex
	inFlight map[any]int
	most     map[any]int
}

// watch has each call of the world's devices counted by site, and go through meanwhile before it ends.
func (w *world) watch(meanwhile func(site any, id string)) *crowd {
	c := &crowd{inFlight: map[any]int{}, most: map[any]int{}}
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		site, _ := w.hub.twins[id].Lookup([]string{"tags", "site"})
		c.mu.Lock()
		c.inFlight[site]++
		c.most[site] = max(c.most[site], c.inFlight[site])
		c.mu.Unlock()
		meanwhile(site, id)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inFlight[site]--
		return iothub.MethodResult{Status: 200}, nil
	}
	return c
}

func (c *crowd) mostOf(site any) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most[site]
}

// TestNoTwoDevicesOfASiteAreCalledAtOnce, though each site has several shards; but devices of several sites are.
func TestNoTwoDevicesOfASiteAreCalledAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(600)
	w.hub.tag(func(n int) any { return []any{"a", "b", nil}[n%3] })
	other := make(chan struct{})
	var begun sync.Once
	c := w.watch(func(site any, _ string) {
		switch site {
		case "a":
			<-other // no call of this site ends before one of the other has begun
		case "b":
			begun.Do(func() { close(other) })
		}
	})
	run := w.ended(w.create(careful(`{"spreadBy":"tags.site"}`, "")))
	require.Equal(t, 600, run.Counts().Of(job.Succeeded))
	require.Len(t, w.executions(run), 600)
	require.Equal(t, 1, c.mostOf("a"))
	require.Equal(t, 1, c.mostOf("b"))
}

// TestTwoOfASiteMayBeCalledAtOnceWhereTheJobSaysSo, and not three.
func TestTwoOfASiteMayBeCalledAtOnceWhereTheJobSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(40)
	w.hub.tag(func(int) any { return "a" })
	var pair sync.WaitGroup // the first two calls wait for each other
	pair.Add(2)
	var calls atomic.Int64
	c := w.watch(func(any, string) {
		if calls.Add(1) <= 2 {
			pair.Done()
			pair.Wait()
		}
	})
	run := w.ended(w.create(careful(`{"spreadBy":"tags.site","maxConcurrencyPerValue":2}`, "")))
	require.Equal(t, 40, run.Counts().Of(job.Succeeded))
	require.Equal(t, 2, c.mostOf("a"))
}

// TestCanariesAreHeldApartToo: they may be of any site, so that one of them is called at a time, and nobody else beside it.
func TestCanariesAreHeldApartToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(60)
	w.hub.tag(func(n int) any { return []any{"a", "b"}[n%2] })
	c := w.watch(func(any, string) {})
	run := w.ended(w.create(careful(`{"spreadBy":"tags.site","batches":[{"deviceIds":["dev-0","dev-1","dev-2","dev-3"]},
		{"number":10,"gate":{"successThresholdPercentage":50}},{}]}`, "")))
	require.Equal(t, 60, run.Counts().Of(job.Succeeded))
	require.Equal(t, 1, c.mostOf("a"))
	require.Equal(t, 1, c.mostOf("b"))
}

// TestDevicesHeldApartSurviveDeaths of a process at any of its requests.
func TestDevicesHeldApartSurviveDeaths(t *testing.T) {
	t.Parallel()
	step := int64(3) // what differs from other jobs with parts is a few requests
	if testing.Short() {
		step = 7
	}
	for n := int64(1); n <= 50; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newMortalWorld(t, impatient)
			w.queue.fast = true
			w.hub.populate(24)
			w.hub.tag(func(n int) any { return []any{"a", "b"}[n%2] })
			c := w.watch(func(any, string) {})
			id := w.create(careful(`{"spreadBy":"tags.site","maxConcurrency":25}`, "")) // shards of five
			w.current().left.Store(n)
			run := w.ended(id)
			require.Equal(t, job.Statistics{DeviceCount: 24, SucceededCount: 24}, run.Counts().Statistics())
			require.Len(t, w.executions(run), 24)
			require.Equal(t, 1, c.mostOf("a"))
			require.Equal(t, 1, c.mostOf("b"))
		})
	}
}
