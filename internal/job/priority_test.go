package job_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

func TestPriority(t *testing.T) {
	t.Parallel()
	decode := func(member string) (job.Definition, error) {
		return job.Decode([]byte(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*"`+member+`}`), now)
	}
	for member, want := range map[string]int{``: 0, `,"priority":5`: 0, `,"priority":1`: 1, `,"priority":10`: 10} {
		def, err := decode(member)
		require.NoError(t, err, member)
		require.Equal(t, want, def.Priority, member)
		require.Equal(t, want, (&job.Record{Definition: def}).NewRun().Priority)
	}
	for _, member := range []string{`,"priority":0`, `,"priority":11`, `,"priority":-1`, `,"priority":2.5`, `,"priority":"high"`} {
		_, err := decode(member)
		require.ErrorContains(t, err, "priority", member)
		require.ErrorContains(t, err, "must be a whole number from 1 to 10", member)
	}
}
