package hubapi

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// FuzzParseJob holds that a body is a job or a fault of the caller's, and that what the hub's form accepts the native one does.
func FuzzParseJob(f *testing.F) {
	for _, body := range []string{
		`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":[1]},"queryCondition":"*","startTime":null}`,
		`{"Type":"ScheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":null},"properties":{"desired":{"$version":1}}},"queryCondition":"a = 1","startTime":"2026-01-01T00:00:00.1"}`,
		`{"startTime":"0001-01-01T00:00:00-01:00","maxExecutionTimeInSeconds":-1}`, `[]`, `null`,
	} {
		f.Add([]byte(body))
	}
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		def, err := ParseJob(body, "j", now)
		if err != nil {
			var refused *failure
			require.True(t, errors.As(err, &refused) || job.FaultsOf(err) != nil, "%v", err)
			require.Less(t, toFailure(err).status, 500)
			return
		}
		require.Equal(t, "j", def.JobID)
		text, err := json.Marshal(def)
		require.NoError(t, err)
		_, err = job.Decode(text, now)
		require.NoError(t, err)
	})
}

// FuzzCursor holds that a token is taken back by its own listing alone, and that no text breaks the reader.
func FuzzCursor(f *testing.F) {
	f.Add(cursor{JobID: "j", Shard: 3, Offset: 7}.token("q"), "q")
	f.Add("", "")
	f.Add("e30", "x")
	f.Fuzz(func(t *testing.T, token, listing string) {
		c, err := parseCursor(token, listing)
		if err != nil || token == "" {
			return
		}
		again, err := parseCursor(c.token(listing), listing)
		require.NoError(t, err)
		c.Check, again.Check = nil, nil
		require.Equal(t, c, again)
		_, err = parseCursor(token, listing+" ")
		require.Error(t, err)
	})
}
