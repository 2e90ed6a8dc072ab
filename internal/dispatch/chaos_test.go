package dispatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// TestARunInTurmoil lists devices twice, loses the query's place, fails and throttles queries, pauses and resumes the run and writes
// its row between any two writes of others: every device is called once, and the counts add up.
func TestARunInTurmoil(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			const devices = 1500
			random := rand.New(rand.NewPCG(seed, 7))
			opts := quick
			opts.Silence, opts.Slices, opts.OpenShards = time.Second, 4, 5
			if seed%2 == 1 {
				opts.Rates = pace.Rates{pace.Methods: 1500, pace.Queries: 100}
			}
			w := newMortalWorld(t, opts)
			w.hub.page = 20 + random.IntN(100)
			w.hub.populate(devices)
			for range 200 {
				from := random.IntN(devices)
				w.hub.devices = append(w.hub.devices, w.hub.devices[from])
			}
			random.Shuffle(len(w.hub.devices), func(i, j int) { w.hub.devices[i], w.hub.devices[j] = w.hub.devices[j], w.hub.devices[i] })
			lost := 0
			w.hub.query = func(continuation string) error {
				time.Sleep(5 * time.Millisecond) // a hub that takes its time
				switch n := random.IntN(40); {
				case n == 0 && continuation != "" && lost < 3:
					lost++
					return hubError(iothub.Rejected)
				case n == 1:
					return hubError(iothub.ServerError)
				case n == 2:
					return hubError(iothub.HubFault)
				}
				return nil
			}
			slow(w, 20*time.Millisecond)
			id := w.create(lockDoor)
			var turns atomic.Int64
			meddling := rand.New(rand.NewPCG(seed, 8))
			run := w.endedAfter(id, func() {
				turns.Add(1)
				switch n := meddling.IntN(60); {
				case n < 6:
					w.touch(id)
				case n == 6:
					_, _, _ = w.current().d.Pause(context.Background(), id, "", someone())
				case n < 12:
					_, _, _ = w.current().d.Resume(context.Background(), id, "", someone())
				}
			})
			require.Equal(t, job.Statistics{DeviceCount: devices, SucceededCount: devices}, run.Counts().Statistics())
			executions := w.executions(run)
			require.Len(t, executions, devices)
			for device := range executions {
				require.Equal(t, 1, w.hub.called(device), device)
			}
			w.calls.Wait() // for copies of messages
			require.Empty(t, w.current().d.slots)
			t.Logf("%d turns", turns.Load())
		})
	}
}
