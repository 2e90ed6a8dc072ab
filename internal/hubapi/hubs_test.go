package hubapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubapi"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// TestRowsOfJobsAreTheDefaultHubs: the routes stand in for one hub, and tell of its devices.
func TestRowsOfJobsAreTheDefaultHubs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, fleet("ok", 130)...)
	for id, hubs := range map[string]string{"both": `"all"`, "other": `["hub-2"]`, "own": `["hub-1"]`} {
		def, err := job.Decode([]byte(strings.Replace(lockAll, `"jobId":"lock"`, `"jobId":"`+id+`","hubs":`+hubs, 1)), time.Now())
		require.NoError(t, err)
		_, err = w.jobs.Create(t.Context(), def, "", job.Caller{})
		require.NoError(t, err)
		w.finish()
	}
	for id, want := range map[string]int{"both": 130, "other": 0, "own": 130} {
		got, _ := w.pages("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '"+id+"'", 50)
		require.Len(t, got, want, id)
	}
}
