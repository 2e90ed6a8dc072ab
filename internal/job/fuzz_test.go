package job_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Nothing makes Decode panic, and every error names its faults. What decodes has a hash, and its JSON decodes to the same.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		plus(`"jobId":"j","startTime":"2026-12-01t02:00:00.5+01:00","maxExecutionTimeInSeconds":7`),
		method(`"payload":{"a":[1,null,"\ud800<"]},"connectTimeoutInSeconds":1`),
		target(`"deviceIds":["a","b'c"]`),
		target(`"queryCondition":"tags.a IN ['x', 2] AND NOT is_defined(properties.reported.b)"`),
		patch(`{"etag":"*","deviceId":"","tags":{"a":{"b":[{}]}},"properties":{"desired":{"c":1.5e3,"d":true}}}`),
		steps(`{"method":{"methodName":"m"}}`, `{"updateTwin":{"properties":{"desired":{"a":{"b":1}}}},"confirm":{"properties":["a.b"]}}`, `{"waitFor":{"path":"properties.reported.a","exists":false,"within":"PT1H"}}`),
		`{"a":1,"a":{}}`, `[]`, `{`, "\xff",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		def, err := job.Decode(body, now)
		if err != nil {
			require.NotEmpty(t, job.FaultsOf(err))
			return
		}
		hash, err := def.Hash()
		require.NoError(t, err)
		text, err := json.Marshal(def)
		require.NoError(t, err)
		again, err := job.Decode(text, now)
		require.NoError(t, err, "%s", text)
		sameHash, err := again.Hash()
		require.NoError(t, err)
		require.Equal(t, hash, sameHash)
		sameText, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(text), string(sameText))
	})
}
