package job_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// TestARerunTakesNoQueries: its target is a list, so that batches by condition and the order by a path are left out.
func TestARerunTakesNoQueries(t *testing.T) {
	t.Parallel()
	def, err := job.Decode([]byte(plus(`"rollout":{"spreadBy":"tags.site","maxConcurrencyPerValue":3,"batches":[{"queryCondition":"tags.ring = 1"},
		{"number":5,"gate":{"successThresholdPercentage":90,"approval":true}},{}]}`)), noon)
	require.NoError(t, err)
	rec := &job.Record{Definition: def}
	again, err := job.Rerun{States: []job.ExecutionState{job.Failed}}.Definition(rec, &job.Run{ID: "run"}, []string{"a", "b"})
	require.NoError(t, err)
	require.False(t, again.Divided())
	require.Equal(t, 3, again.Rollout.MaxConcurrency, "no more of any site are called at once than the job allows")
	require.Equal(t, []job.BatchPolicy{{Number: 5, Gate: &job.Gate{Approval: true}}, {}}, again.Rollout.Batches)
	require.NotZero(t, rec.Rollout.Batches[1].Gate.SuccessThresholdPercentage, "the job stays as it is")
}

// TestPartsOfATarget: chosen batches first, then the values in their order, then what has none.
func TestPartsOfATarget(t *testing.T) {
	t.Parallel()
	def, err := job.Decode([]byte(plus(`"rollout":{"orderBy":"tags.site","batches":[{"queryCondition":"tags.ring = 1"},{"deviceIds":["a","it's"]},{}]}`)), noon)
	require.NoError(t, err)
	rec := &job.Record{Definition: def}
	parts, err := rec.Divide([]string{`"b"`, ``, `10`, `"a'"`, `9`, `true`, `9`})
	require.NoError(t, err)
	require.Equal(t, []job.Part{
		{Filter: "tags.ring = 1"},
		{Filter: `deviceId IN ['a', 'it\'s']`},
		{Filter: "tags.site = true", Label: "true"},
		{Filter: "tags.site = 9", Label: "9"},
		{Filter: "tags.site = 10", Label: "10"},
		{Filter: `tags.site = 'a\''`, Label: `"a'"`},
		{Filter: "tags.site = 'b'", Label: `"b"`},
		{Filter: "NOT IS_DEFINED(tags.site)"},
	}, parts)
	parts, err = rec.Divide([]string{`null`, `"a"`})
	require.NoError(t, err)
	require.Equal(t, job.Part{}, parts[len(parts)-1], "null can be in no condition: what is left of all")
	require.Equal(t, time.Time{}, parts[0].At)
}
