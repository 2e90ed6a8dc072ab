package dispatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// TestShardsCoverTheirPartsExactlyOnce: however pages come and writes fall, every device is in one shard, in order, no shard holds
// devices of two parts or of two batches by number, and the place that is stored with shards never lies behind a device that is not.
func TestShardsCoverTheirPartsExactlyOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		chosen := rapid.IntRange(0, 2).Draw(t, "chosen batches")
		policy := &job.Rollout{}
		for range chosen {
			policy.Batches = append(policy.Batches, job.BatchPolicy{QueryCondition: "tags.a = 1"})
		}
		number := rapid.IntRange(1, 250).Draw(t, "number")
		policy.Batches = append(policy.Batches, job.BatchPolicy{Number: number}, job.BatchPolicy{})
		p := &planner{feeder: feeder{d: &Dispatcher{opts: Options{Now: time.Now}}, run: &job.Run{ID: "run", Rollout: job.NewRolling(policy)}}, plan: &job.Plan{}}

		var listed, stored []string
		partOf := map[string]int{}
		before := map[place]int{{}: 0} // how many devices are listed before a place
		inChosen := 0
		write := func(n int) {
			shards, to := p.cut(n)
			plan := *p.plan
			countChosen(&plan, chosen, shards)
			for _, s := range shards {
				require.Equal(t, plan.Shards, s.Number)
				plan.Shards++
				first := len(stored)
				for _, e := range s.Executions {
					require.Equal(t, partOf[e.DeviceID], s.Part, e.DeviceID)
					stored = append(stored, e.DeviceID)
				}
				if s.Part >= chosen {
					end := inChosen + number
					require.False(t, first < end && len(stored) > end, "a shard across the end of a batch")
				}
			}
			plan.Devices, plan.Part, plan.Continuation = len(stored), to.part, to.token
			p.plan = &plan
			require.LessOrEqual(t, before[to], len(stored), "what lies before %v is stored", to)
		}
		for part := range chosen + rapid.IntRange(1, 4).Draw(t, "parts") {
			for page := range rapid.IntRange(1, 4).Draw(t, "pages") {
				require.NoError(t, p.turnTo(t.Context(), part))
				for range rapid.IntRange(0, 130).Draw(t, "devices") {
					id := fmt.Sprint("dev-", len(listed))
					listed, partOf[id] = append(listed, id), part
					p.pending = append(p.pending, id)
					if part < chosen {
						inChosen++
					}
				}
				p.at = place{part, fmt.Sprint(page)}
				before[p.at] = len(listed)
				p.marks = append(p.marks, mark{n: len(p.pending), to: p.at})
				if part >= chosen || rapid.Bool().Draw(t, "write") {
					write(rapid.IntRange(0, p.shards()).Draw(t, "shards"))
				}
			}
		}
		for p.shards() > 0 {
			write(1)
		}
		require.Equal(t, listed, stored)
		require.Equal(t, inChosen, sum(p.plan.Chosen))
	})
}
