package dispatch

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// TestAPlannerCarriesOutWhatItHasRoomFor: a run that fits a process needs no shard message at all.
func TestAPlannerCarriesOutWhatItHasRoomFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(2000)
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 2000, run.Counts().Of(job.Succeeded))
	require.Zero(t, w.queue.count(kindShard))
}

// TestAPlannerFeedsItsFreeSlots: shards that were stored beyond the horizon do not wait for supervisions.
func TestAPlannerFeedsItsFreeSlots(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Slices, opts.OpenShards, opts.Silence = 8, 1, time.Hour
	w := newWorld(t, opts)
	w.queue.withheld = kindSupervise
	w.hub.populate(6000)
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return w.status(id).Enqueued == 60 })
}

// TestAPlannersOwnShardsAreSharedOutWhenItDies: its claims are leases like any other.
func TestAPlannersOwnShardsAreSharedOutWhenItDies(t *testing.T) {
	t.Parallel()
	w := newMortalWorld(t, impatient)
	w.hub.populate(300)
	calls := slow(w, 200*time.Millisecond)
	id := w.create(lockDoor)
	dead := false
	run := w.endedAfter(id, func() {
		if !dead && calls.Load() > 0 {
			dead = true
			w.current().dead(errKilled)
		}
	})
	require.Equal(t, 300, run.Counts().Of(job.Succeeded))
	again := 0
	for device := range w.executions(run) {
		again += w.hub.called(device) - 1
	}
	require.LessOrEqual(t, again, 300)
}

// pageByPage gives a world whose hub gives each of the first pages only when the one before is stored, and where nothing but the work
// itself moves a run on: no timer repairs it, and a claim that is lost or kept lasts longer than the test. stored is called after each
// write.
func pageByPage(t *testing.T, pages int64, stored func(w *world, n int64)) *world {
	t.Helper()
	opts := quick
	opts.Silence, opts.Lease = time.Hour, time.Hour
	w := newWorld(t, opts)
	w.hub.page = 50
	w.hub.populate(500)
	var asked, written atomic.Int64
	w.hub.query = func(string) error {
		for page := min(asked.Add(1), pages); written.Load() < page-1 && t.Context().Err() == nil; {
			time.Sleep(time.Millisecond) // before it looks again
		}
		return nil
	}
	w.through(meddler{after: func(_ *http.Request, body string) {
		if strings.Contains(body, "RowKey='plan'") && strings.Contains(body, "RowKey='open:") {
			stored(w, written.Load()+1)
			written.Add(1)
		}
	}})
	return w
}

// TestAPlannerThatMeetsAConflictGoesOn: others write the run's row between any two of a planner's writes, which then reads it
// again and keeps its claim.
func TestAPlannerThatMeetsAConflictGoesOn(t *testing.T) {
	t.Parallel()
	w := pageByPage(t, 10, func(w *world, _ int64) { w.touch("lock") })
	require.Equal(t, 500, w.ended(w.create(lockDoor)).Counts().Of(job.Succeeded))
}

// TestAPlannerWhoseRunIsBlockedBetweenTwoWritesGivesItsClaimBack: the message that goes on when the hub is back must not
// wait for the lease.
func TestAPlannerWhoseRunIsBlockedBetweenTwoWritesGivesItsClaimBack(t *testing.T) {
	t.Parallel()
	w := pageByPage(t, 2, func(w *world, n int64) {
		rec, err := w.observer().Job(context.Background(), "lock")
		if n == 1 && err == nil {
			_ = w.current().d.block(context.Background(), rec.RunID, trouble{fault: hubError(iothub.HubFault)})
		}
	})
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 500, run.Counts().Of(job.Succeeded))
}

// TestSeenForgetsNothing: a Bloom filter may err in one direction only, seldom, and within its memory.
func TestSeenForgetsNothing(t *testing.T) {
	t.Parallel()
	var s seen
	print := func(n int) uint64 { // the finalizer of splitmix64, which hits every bit
		z := uint64(n+1) * 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return z ^ z>>31
	}
	const devices = 1_000_000
	wrong := 0
	for n := range devices {
		if s.add(print(n)) {
			wrong++
		}
	}
	require.Zero(t, wrong, "false alarms: each costs a read of all that is selected")
	for n := range devices {
		require.True(t, s.add(print(n)), n)
	}
	words := 0
	for _, l := range s.layers {
		words += len(l.bits)
	}
	require.LessOrEqual(t, 8*words, 12<<20, "bytes in %d layers", len(s.layers))
	t.Logf("%d devices: %d false alarms, %d bytes", devices, wrong, 8*words)
}

// TestSeenTellsDevicesApartByAllOfTheirFingerprints: a layer for few devices has few bits, and a million devices are looked up in it.
func TestSeenTellsDevicesApartByAllOfTheirFingerprints(t *testing.T) {
	t.Parallel()
	for bit := range 64 {
		var s seen
		require.False(t, s.add(0x0123456789abcdef))
		require.False(t, s.holds(0x0123456789abcdef^1<<bit), "bit %d", bit)
	}
}
