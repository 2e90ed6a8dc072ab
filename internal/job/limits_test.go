package job_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Values at a limit are taken, values beyond it refused.
func TestLimitsAreExact(t *testing.T) {
	t.Parallel()
	ids := func(n int) string {
		quoted := make([]string, n)
		for i := range quoted {
			quoted[i] = fmt.Sprintf("%q", fmt.Sprint(i))
		}
		return strings.Join(quoted, ",")
	}
	nested := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	// twin makes a patch that counts n bytes: keys of one byte, strings of at most 4 KiB.
	twin := func(n int) string {
		var members []string
		for i := 0; n > 0; i++ {
			size := min(n-1, job.MaxTwinString)
			members = append(members, fmt.Sprintf(`"%c":"%s"`, 'a'+i, strings.Repeat("x", size)))
			n -= size + 1
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	text := func(s string, n int) string { return `"` + strings.Repeat(s, n) + `"` }
	for name, c := range map[string]struct {
		body  func(n int) string
		limit int
	}{
		"job id":      {func(n int) string { return plus(`"jobId":` + text("a", n)) }, 64},
		"device ids":  {func(n int) string { return target(`"deviceIds":[` + ids(n) + `]`) }, 100_000},
		"device id":   {func(n int) string { return target(`"deviceIds":[` + text("'", n) + `]`) }, 128},
		"method name": {func(n int) string { return method(`"methodName":` + text("~", n)) }, 100},
		"payload":     {func(n int) string { return method(`"payload":` + text("x", n-2)) }, 128 << 10},
		"condition": {func(n int) string {
			return target(`"queryCondition":` + `"tags.a='` + strings.Repeat("漢", n-9) + `'"`)
		}, 8000},
		"response":        {func(n int) string { return method(fmt.Sprintf(`"responseTimeoutInSeconds":%d`, n)) }, 300},
		"connect":         {func(n int) string { return method(fmt.Sprintf(`"connectTimeoutInSeconds":%d`, n)) }, 300},
		"execution time":  {func(n int) string { return plus(fmt.Sprintf(`"maxExecutionTimeInSeconds":%d`, n)) }, 366 * 86400},
		"tags":            {func(n int) string { return patch(`{"tags":` + twin(n) + `}`) }, 8 << 10},
		"desired":         {func(n int) string { return patch(`{"properties":{"desired":` + twin(n) + `}}`) }, 32 << 10},
		"depth":           {func(n int) string { return patch(`{"tags":{"top":` + nested(n) + `}}`) }, 10},
		"depth in arrays": {func(n int) string { return patch(`{"tags":{"top":[[` + nested(n) + `]]}}`) }, 10},
		"key":             {func(n int) string { return patch(`{"tags":{` + text("k", n) + `:null}}`) }, 1024},
		"string":          {func(n int) string { return patch(`{"tags":{"a":` + text("x", n) + `}}`) }, 4096},
		"integer":         {func(n int) string { return patch(fmt.Sprintf(`{"tags":{"a":%d}}`, n)) }, 4503599627370495},
		"text of a patch": {func(n int) string {
			empty, rest := (n-len(`{"a":[0]}`))/3, (n-len(`{"a":[0]}`))%3
			return patch(`{"tags":{"a` + strings.Repeat("a", rest) + `":[` + strings.Repeat("[],", empty) + "0]}}")
		}, 128 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := job.Decode([]byte(c.body(c.limit)), now)
			require.NoError(t, err)
			_, err = job.Decode([]byte(c.body(c.limit+1)), now)
			require.Len(t, job.FaultsOf(err), 1)
		})
	}
	for name, body := range map[string]string{
		"response":  method(`"responseTimeoutInSeconds":5`),
		"connect":   method(`"connectTimeoutInSeconds":0`),
		"integer":   patch(`{"tags":{"a":-4503599627370496}}`),
		"execution": plus(`"maxExecutionTimeInSeconds":1`),
		"start":     plus(`"startTime":"2036-12-08T12:00:00Z"`),
		"float":     patch(`{"tags":{"a":4503599627370496.0,"b":-1e300}}`),
	} {
		_, err := job.Decode([]byte(body), now)
		require.NoError(t, err, name)
	}
}

// White space does not count, and what a twin does not count is not counted.
func TestWhatLimitsCount(t *testing.T) {
	t.Parallel()
	space := strings.Repeat(" ", job.MaxMethodPayload)
	_, err := job.Decode([]byte(method(`"payload":[`+space+`]`)), now)
	require.NoError(t, err)
	_, err = job.Decode([]byte(patch(`{"tags":{`+space+`}}`)), now)
	require.NoError(t, err)
	control := strings.Repeat(`\n`, 4096)
	_, err = job.Decode([]byte(patch(`{"tags":{"a":"`+control+`","b":"`+control+`","c":"`+control+`"}}`)), now)
	require.NoError(t, err, "control characters count nothing")
	numbers := strings.Repeat("0,", 8<<10/8)
	_, err = job.Decode([]byte(patch(`{"tags":{"a":[`+strings.TrimSuffix(numbers, ",")+`]}}`)), now)
	require.EqualError(t, err, "updateTwin.tags: counts 8193 bytes; a twin holds at most 8192")
	truths := strings.Repeat("true,", 8<<10/4)
	_, err = job.Decode([]byte(patch(`{"tags":{"a":[`+strings.TrimSuffix(truths, ",")+`]}}`)), now)
	require.EqualError(t, err, "updateTwin.tags: counts 8193 bytes; a twin holds at most 8192")
}

// Faults without end are cut, so that no request is answered with megabytes.
func TestFaultsAreCut(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"members": "{" + strings.TrimSuffix(func() string {
			var b strings.Builder
			for i := range 1000 {
				fmt.Fprintf(&b, `"m%d":1,`, i)
			}
			return b.String()
		}(), ",") + "}",
		"device ids": target(`"deviceIds":[` + strings.TrimSuffix(strings.Repeat(`"",`, 1000), ",") + `]`),
		"keys":       patch(`{"tags":{"a":[` + strings.TrimSuffix(strings.Repeat(`{"":1},`, 1000), ",") + `]}}`),
		"repeated":   "{" + strings.TrimSuffix(strings.Repeat(`"a":1,`, 1000), ",") + "}",
	} {
		_, err := job.Decode([]byte(body), now)
		faults := job.FaultsOf(err)
		require.Len(t, faults, 51, name)
		require.Equal(t, job.Fault{Field: "body", Rule: "has more faults; these are the first 50"}, faults[50])
	}
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	_, err := job.Decode([]byte(patch(`{"tags":{"`+strings.Repeat("k", 5000)+`":`+deep+`}}`)), now)
	require.Less(t, len(err.Error()), 1000)
}
