package job_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// TestShardsThatMayNotBeWorkedOnTogetherNeverAre: whatever ends when, of the shards under way no two are of one value, none is
// beside one of a chosen batch, and the first that was opened always is under way.
func TestShardsThatMayNotBeWorkedOnTogetherNeverAre(t *testing.T) {
	t.Parallel()
	type shard struct {
		part              int
		limited, underWay bool
	}
	rapid.Check(t, func(t *rapid.T) {
		chosen := rapid.IntRange(0, 2).Draw(t, "chosen parts")
		var waiting, open []*shard
		part := 0
		for range rapid.IntRange(1, 40).Draw(t, "shards") {
			part += rapid.IntRange(0, 1).Draw(t, "next part")
			waiting = append(waiting, &shard{part: part, limited: part < chosen || rapid.IntRange(0, 9).Draw(t, "free") > 0})
		}
		for len(waiting)+len(open) > 0 {
			n := rapid.IntRange(0, min(3, len(waiting))).Draw(t, "opened")
			open, waiting = append(open, waiting[:n]...), waiting[n:]
			a := job.Abreast{ChosenParts: chosen}
			for _, s := range open {
				s.underWay = a.Admits(s.part, s.limited) || s.underWay
			}
			for i, s := range open {
				for _, o := range open[:i] {
					apart := s.part != o.part && s.part >= chosen && o.part >= chosen
					if s.underWay && o.underWay && s.limited && o.limited && !apart {
						t.Fatalf("%+v goes on beside %+v", *s, *o)
					}
				}
			}
			if len(open) == 0 {
				continue
			}
			if !open[0].underWay {
				t.Fatalf("the first one, %+v, waits for nobody", *open[0])
			}
			var left []*shard
			for _, s := range open {
				if !s.underWay || rapid.Bool().Draw(t, "goes on") {
					left = append(left, s)
				}
			}
			open = left
		}
	})
}

func TestSpreadsThatAreRefused(t *testing.T) {
	t.Parallel()
	for text, fault := range map[string]string{
		`"rollout":{"maxConcurrencyPerValue":2}`:                       "goes with rollout.spreadBy",
		`"rollout":{"spreadBy":"tags.a","maxConcurrencyPerValue":101}`: "must be a whole number from 1 to 100",
		`"rollout":{"spreadBy":"tags.a","orderBy":"tags.b"}`:           "must be the path of rollout.orderBy",
	} {
		_, err := job.Decode([]byte(plus(text)), noon)
		require.ErrorContains(t, err, fault, text)
	}
	list := `{"jobId":"x","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"deviceIds":["a"],"rollout":{"spreadBy":"tags.a"}}`
	_, err := job.Decode([]byte(list), noon)
	require.ErrorContains(t, err, "rollout.spreadBy: goes with queryCondition only")
}
