package dispatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// TestFleetsThatComeAndGo has devices appear, leave and come back between the rounds of a slow rollout, some of them offline at first,
// and kills the process at random in every second case. In the end all match: each has succeeded once, nobody was called but for
// the attempts that are known, and the counts are those of the rows.
func TestFleetsThatComeAndGo(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			f := newComing(t, seed)
			store, rounds := f.w.observer(), 0
			f.w.run(func(ctx context.Context) bool {
				rec, err := store.Job(ctx, "lock")
				require.NoError(t, err)
				run, err := store.Run(ctx, rec.RunID)
				if err != nil || run.Rounds.Ended == rounds {
					return false
				}
				rounds = run.Rounds.Ended
				f.move(rounds > 3)
				return rounds > 4 && run.Counts().Of(job.Succeeded) == f.devices && run.Resting(time.Now())
			})
			f.check(f.w.status("lock"))
		})
	}
}

// coming is a fleet that comes and goes.
type coming struct {
	t       *testing.T
	w       *world
	random  *rand.Rand
	devices int
	deaths  bool
	there   map[string]bool
}

// newComing has a job that selects its devices each second and begins eight at once.
func newComing(t *testing.T, seed uint64) *coming {
	f := &coming{
		t: t, random: rand.New(rand.NewPCG(seed, 11)), devices: 40, deaths: seed%2 == 0, there: map[string]bool{},
	}
	opts := impatient
	opts.Slices = 4
	if f.deaths { // then a device may be called again
		opts.Lease = 3 * time.Second
	}
	f.w = newWorld(t, opts)
	f.w.hub.page = 5 + f.random.IntN(40)
	f.w.hub.answer = func(id string, call int) (iothub.MethodResult, error) {
		if id[len(id)-1]%3 == 0 && call <= 2 {
			return iothub.MethodResult{}, hubError(iothub.Offline)
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	f.move(false)
	def, err := job.Decode([]byte(continuous(`,"rollout":{"maxConcurrency":8},
		"retry":{"criteria":[{"failureType":"deviceOffline","delay":"PT2S","numberOfRetries":900}]}`)), time.Now())
	require.NoError(t, err)
	def.SelectionInterval = schedule.Duration(time.Second) // less than anybody can ask for
	_, err = f.w.current().d.Create(t.Context(), def, "", someone())
	require.NoError(t, err)
	return f
}

// move has devices come and go, or come all. Before the next time the process may die.
func (f *coming) move(all bool) {
	var listed []string
	for _, id := range fleet(0, f.devices) {
		if f.random.IntN(10) < 4 {
			f.there[id] = !f.there[id]
		}
		if f.there[id] || all {
			listed = append(listed, id)
		}
	}
	f.random.Shuffle(len(listed), func(i, j int) { listed[i], listed[j] = listed[j], listed[i] })
	f.w.matches(listed...)
	if f.deaths {
		f.w.current().left.Store(1 + int64(f.random.IntN(60)))
	}
}

func (f *coming) check(run *job.Run) {
	f.t.Helper()
	shards, err := f.w.observer().Shards(f.t.Context(), run.ID, tablestore.ShardQuery{Always: -1})
	require.NoError(f.t, err)
	var counts job.Counts
	attempts, succeeded := map[string]int{}, map[string]int{}
	for _, s := range shards {
		counts = counts.Plus(job.Count(s.Executions))
		for _, e := range s.Executions {
			attempts[e.DeviceID] += e.Attempts
			switch e.State {
			case job.Succeeded:
				succeeded[e.DeviceID]++
			case job.Removed:
				require.Equal(f.t, job.LeftTarget, e.Reason)
			default:
				require.Fail(f.t, "in the end everybody is called or was removed", "%s is %s", e.DeviceID, e.State)
			}
		}
	}
	for _, id := range fleet(0, f.devices) {
		require.Equal(f.t, 1, succeeded[id], id)
		if !f.deaths {
			require.Equal(f.t, attempts[id], f.w.hub.called(id), "%s was called when it was removed", id)
		}
	}
	require.Equal(f.t, counts, run.Counts())
	require.Zero(f.t, run.Early)
	require.Equal(f.t, counts.Total(), run.Devices)
	f.t.Logf("%d executions were removed in %d rounds", counts.Of(job.Removed), run.Rounds.Ended)
}
