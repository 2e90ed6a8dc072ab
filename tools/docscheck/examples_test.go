package docscheck

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

var (
	jsonBlock = regexp.MustCompile("(?ms)^```json\n(.*?)^```")
	jsonBody  = regexp.MustCompile(`(?s)-d '(\{.*?\})'`)
	member    = regexp.MustCompile(`^"(abort|retry|timeout|succeedOn|rollout)"`)
)

// An example of a job, of one member, or of a template is one that the service takes. Those with an ellipsis are no examples to copy.
func TestExamplesOfJobsAreJobs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	pages, count := read(t), 0
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		for _, m := range append(jsonBlock.FindAllStringSubmatch(pages[page], -1), jsonBody.FindAllStringSubmatch(pages[page], -1)...) {
			text := strings.TrimSpace(m[1])
			if member.MatchString(text) {
				text = `{"type": "scheduleDeviceMethod", "cloudToDeviceMethod": {"methodName": "m"}, "queryCondition": "*", ` + text + `}`
			}
			if !strings.Contains(text, `"type": "schedule`) || !strings.HasPrefix(text, "{") || strings.Contains(text, "...") {
				continue
			}
			count++
			var err error
			if strings.Contains(text, `"job": {`) {
				_, err = job.DecodeTemplate("example", []byte(text), now)
			} else {
				_, err = job.Decode([]byte(text), now)
			}
			require.NoError(t, err, "%s: %s", page, text)
		}
	}
	require.GreaterOrEqual(t, count, 6)
}
