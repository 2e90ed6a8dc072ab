package dispatch

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// TestAShardKeepsItsSlotWhileAllPlacesAreTaken: those that came before it hold them until their slots. It comes back shortly before its own,
// however often it was put back, and not after a wait that doubles each time.
func TestAShardKeepsItsSlotWhileAllPlacesAreTaken(t *testing.T) {
	t.Parallel()
	opts := quick
	now := time.Now().Truncate(time.Millisecond)
	opts.Now = func() time.Time { return now }
	w := newWorld(t, opts)
	p := w.fed(1)
	defer occupy(p.d)()
	m := message{Kind: kindShard, Run: p.run.ID, Tries: 3}.in(pace.Slot{At: now.Add(2500 * time.Millisecond), For: time.Second})
	body, err := json.Marshal(m)
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, p.d.Handle(t.Context(), Delivery{Body: body}))
	require.Len(t, w.queue.messages, 1)
	back := w.queue.messages[0]
	got, err := parseMessage(back.body)
	require.NoError(t, err)
	got.Due = 0 // tells how late it comes
	require.Equal(t, m, got)
	require.False(t, back.visible.Before(began.Add(2*time.Second)), "queues delay by whole seconds")
}

func TestPatienceOfAMessage(t *testing.T) {
	t.Parallel()
	require.Zero(t, patience(time.Second, 0), "there is time to come back")
	require.Equal(t, slotWait, patience(999*time.Millisecond, 0))
	require.Equal(t, slotWait, patience(-time.Hour, 0))
	require.Equal(t, slotWait/8, patience(0, 9), "no place so often: devices are slow")
}

// TestDevicesAreCalledBeforeALongListIsStored: a planner that has places to fill opens what is stored, and stores the next pages then.
func TestDevicesAreCalledBeforeALongListIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	p := w.fed(4)
	p.plan.Done, p.until = false, time.Now().Add(time.Minute)
	p.pending = make([]string, planShards*job.ShardSize)
	p.marks = []mark{{len(p.pending), place{}, time.Now().Add(time.Hour)}} // not overdue
	ended, err := p.step(t.Context())
	require.NoError(t, err)
	require.False(t, ended)
	require.NoError(t, p.local.wait())
	require.Equal(t, 4, p.run.Enqueued)
	require.Equal(t, 4, p.plan.Shards)
	require.Len(t, p.pending, planShards*job.ShardSize)
}
