package job_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

func TestWhoMayShareAListOfDevices(t *testing.T) {
	t.Parallel()
	const daily = `"schedule":{"cron":"0 1 * * *"},"deviceListMaxAge":`
	def, err := job.Decode([]byte(plus(daily+`"P1DT12H"`)), now)
	require.NoError(t, err)
	require.Equal(t, schedule.Duration(36*time.Hour), def.DeviceListMaxAge)
	for members, want := range map[string]job.Fault{
		`"deviceListMaxAge":"P1D"`: {"deviceListMaxAge", "", "goes with schedule only: there is no earlier run"},
		daily + `"P32D"`:           {"deviceListMaxAge", `"P32D"`, "must be an ISO 8601 duration from PT1S to P31D"},
		daily + `"P1D","selection":"continuous","maxExecutionTimeInSeconds":60`: {
			"deviceListMaxAge", "", `must not stand beside selection "continuous", which asks the hub again and again`,
		},
		daily + `"P1D","rollout":{"orderBy":"tags.site"}`: {
			"deviceListMaxAge", "", "must not stand beside rollout.orderBy, or batches that have a condition or a list: each run asks the hub for its parts",
		},
	} {
		_, err := job.Decode([]byte(plus(members)), now)
		require.ErrorAs(t, err, &job.Faults{}, members)
		require.Contains(t, err, want, members)
	}
}

func TestAListIsLentAsLongAsItIsYoungEnough(t *testing.T) {
	t.Parallel()
	plan := &job.Plan{RunID: "j.n.2", Shards: 3, List: &job.DeviceList{RunID: "j.n.1", ListedAt: now, Target: "t", From: "j.n.1", Shards: 3, Complete: true}}
	hour := schedule.Duration(time.Hour)
	require.Equal(t, &job.DeviceList{RunID: "j.n.1", ListedAt: now, Target: "t", From: "j.n.2", Shards: 3}, plan.LendsTo("t", now.Add(time.Hour), hour),
		"the age is that of the query")
	require.Nil(t, plan.LendsTo("t", now.Add(time.Hour+1), hour))
	require.Nil(t, plan.LendsTo("another", now, hour), "the target was edited")
	plan.List.Complete = false
	require.Nil(t, plan.LendsTo("t", now, hour), "a run that was cancelled may lack devices")
	require.Nil(t, (&job.Plan{}).LendsTo("t", now, hour))
}
