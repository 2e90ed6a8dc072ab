package notify

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func TestWhichAnswersAreWorthAnotherTry(t *testing.T) {
	t.Parallel()
	for status, c := range map[int]struct{ ok, final, finalForTopic bool }{
		200: {ok: true}, 202: {ok: true}, 204: {ok: true}, 299: {ok: true},
		301: {final: true, finalForTopic: true}, 307: {final: true, finalForTopic: true}, 304: {final: true, finalForTopic: true},
		400: {final: true, finalForTopic: true}, 401: {final: true}, 403: {final: true}, 404: {final: true},
		405: {final: true, finalForTopic: true}, 410: {final: true, finalForTopic: true}, 413: {final: true, finalForTopic: true},
		408: {}, 429: {}, 500: {}, 502: {}, 503: {}, 504: {}, 599: {},
	} {
		resp := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"7"}}}
		for _, patient := range []bool{false, true} {
			err := answered(resp, patient, noon)
			if c.ok {
				require.Nil(t, err, status)
				continue
			}
			require.Equal(t, ClassStatus, err.Class)
			require.Equal(t, status, err.Status)
			final := c.final
			if patient {
				final = c.finalForTopic
			}
			require.Equal(t, final, err.Final, "%d, patient %v", status, patient)
			if !final {
				require.Equal(t, 7*time.Second, err.RetryAfter)
			}
		}
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "0": 0, "120": 2 * time.Minute, "1.5": 0,
		noon.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		noon.Add(-time.Hour).Format(http.TimeFormat):       0,
		"9223372036854775807":                              1 << 30 * time.Second,
	} {
		require.Equal(t, want, retryAfter(text, noon), text)
	}
}

// A receiver that never answers is asked again for a day and no longer.
func TestTriesEndAfterADay(t *testing.T) {
	t.Parallel()
	var delays []time.Duration
	now := noon
	for {
		at, again := Next(&Error{Class: ClassTimeout}, len(delays)+1, noon, now)
		if !again {
			break
		}
		delays = append(delays, at.Sub(now))
		now = at
	}
	require.Equal(t, []time.Duration{
		5 * time.Second, 15 * time.Second, 45 * time.Second, 135 * time.Second, 405 * time.Second, 1215 * time.Second, time.Hour,
	}, delays[:7])
	require.Equal(t, time.Hour, delays[len(delays)-1])
	require.Len(t, delays, 29)
	require.WithinRange(t, now, noon.Add(23*time.Hour), noon.Add(Window))
}

func TestAReceiverMayAskForMoreTimeButNotForever(t *testing.T) {
	t.Parallel()
	at, again := Next(&Error{Class: ClassStatus, Status: 429, RetryAfter: 2 * time.Hour}, 1, noon, noon)
	require.True(t, again)
	require.Equal(t, noon.Add(2*time.Hour), at)
	_, again = Next(&Error{Class: ClassStatus, Status: 503, RetryAfter: Window + time.Second}, 1, noon, noon)
	require.False(t, again)
	_, again = Next(&Error{Class: ClassStatus, Status: 410, Final: true}, 1, noon, noon)
	require.False(t, again)
	at, _ = Next(&Error{Class: ClassStatus, Status: 429, RetryAfter: time.Second}, 1, noon, noon)
	require.Equal(t, noon.Add(firstDelay), at, "no sooner than without")
}
