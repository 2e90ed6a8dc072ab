package dispatch

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// mixture is what a job may be made of: of each row one member, or none.
var mixture = [][]string{
	{
		`"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"}`,
		`"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":["{{tags.site ?? 0}}"]},"placeholders":true`,
		`"type":"scheduleUpdateTwin","updateTwin":{"properties":{"desired":{"v":2}}},"confirm":{"within":"PT1H"}`,
		`"type":"scheduleUpdateTwin","updateTwin":{"tags":{"of":"{{deviceId}}"}},"placeholders":true`,
		`"type":"scheduleSteps","steps":[{"method":{"methodName":"a"}},{"updateTwin":{"properties":{"desired":{"v":2}}},"confirm":{}},{"method":{"methodName":"b"}}]`,
	},
	{`"queryCondition":"*"`, `"queryCondition":"tags.site = 's1' OR tags.site = 's2'"`, `"deviceIds":["dev-1","dev-2","dev-3","dev-5","dev-8","dev-13","dev-21"]`},
	{
		``, ``, `"rollout":{"maximumPerMinute":60000}`, `"rollout":{"maxConcurrency":30}`, `"rollout":{"orderBy":"tags.site"}`,
		`"rollout":{"batches":[{"number":5},{"percentage":30},{}],"maximumPerMinute":60000}`,
		`"rollout":{"orderBy":"tags.site","batches":[{"deviceIds":["dev-3","dev-2"]},{"number":10},{}]}`,
	},
	{``, `"retry":{"criteria":[{"failureType":"deviceOffline","numberOfRetries":3,"delay":"PT1S","factor":1}]}`},
	{``, ``, `"deliveryGuarantee":"atMostOnce"`},
	{``, ``, `"maxDevices":6`},
	{``, `"abort":{"criteria":[{"failureType":"all","thresholdPercentage":100,"minNumberOfExecutedDevices":1000}]}`},
}

// mix draws a job that the service takes.
func mix(t *testing.T, random *rand.Rand) string {
	t.Helper()
	for {
		body := `{"jobId":"mixed"`
		for _, row := range mixture {
			if member := row[random.IntN(len(row))]; member != "" {
				body += "," + member
			}
		}
		if _, err := job.Decode([]byte(body+"}"), time.Now()); err == nil {
			return body + "}"
		}
	}
}

// TestMembersOfAJobGoTogether runs jobs that are put together at random, every third one through the death of its process: whatever their
// members, each device of the target comes to an end that fits, once, and the counts add up.
func TestMembersOfAJobGoTogether(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 11))
			body := mix(t, random)
			t.Log(body)
			opts := watchful
			opts.Slices = 1 + random.IntN(8)
			dies := seed%3 == 0
			build := newWorld
			if dies {
				opts.Silence, opts.Tick, build = impatient.Silence, impatient.Tick, newMortalWorld
			}
			w := build(t, opts)
			w.hub.page = 7 + random.IntN(40)
			w.hub.populate(120)
			w.hub.tag(func(n int) any {
				if n%7 == 0 {
					return nil
				}
				return fmt.Sprintf("s%d", n%5)
			})
			w.hub.reported = func(string) map[string]any { return map[string]any{"v": 2} }
			offline, broken := random.IntN(120), random.IntN(120)
			w.hub.answer = func(id string, call int) (iothub.MethodResult, error) {
				switch {
				case id == fmt.Sprintf("dev-%d", offline) && call == 1:
					return iothub.MethodResult{}, hubError(iothub.Offline)
				case id == fmt.Sprintf("dev-%d", broken):
					return iothub.MethodResult{Status: 500}, nil
				}
				return iothub.MethodResult{Status: 200}, nil
			}
			def, err := job.Decode([]byte(body), time.Now())
			require.NoError(t, err)
			id := w.create(body)
			if dies {
				w.current().left.Store(1 + random.Int64N(60))
			}
			run := w.ended(id)
			w.requireTarget(&def, run, dies)
		})
	}
}

// requireTarget checks that a run did what its job asked for on every device of its target. A process that died may have called devices
// that nobody knows of, unless it may call each once at most.
func (w *world) requireTarget(def *job.Definition, run *job.Run, died bool) {
	t := w.t
	t.Helper()
	require.Equal(t, job.EndFinished, run.EndReason, run.FailureReason)
	target := map[string]bool{}
	for _, id := range def.DeviceIDs {
		target[id] = true
	}
	if def.QueryCondition != "" {
		condition, err := twinquery.ParseCondition(def.QueryCondition)
		require.NoError(t, err)
		for id, twin := range w.hub.twins {
			if condition.Match(twin, twinquery.Options{}) {
				target[id] = true
			}
		}
	}
	executions := w.executions(run)
	want := len(target)
	if def.MaxDevices > 0 {
		want = min(want, def.MaxDevices)
	}
	require.Len(t, executions, want)
	var counts job.Counts
	for id, e := range executions {
		require.True(t, target[id], "%s is not of the target", id)
		require.True(t, e.State.Final(), "%s is %s", id, e.State)
		if !died || def.DeliveryGuarantee == job.AtMostOnce {
			require.LessOrEqual(t, w.hub.called(id), e.Attempts*max(1, len(def.Steps)), id)
		}
		counts = counts.Plus(job.CountsOf(e.State, e.Reason, 1))
	}
	require.Equal(t, counts.StateMap(), run.Counts().StateMap())
	require.Equal(t, want, run.Devices)
}
