package latency_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

func TestTextForms(t *testing.T) {
	t.Parallel()
	for text, quantiles := range map[string][3]time.Duration{ // at 0, 0.5 and nearly 1
		"0":                      {0, 0, 0},
		"50ms":                   {50 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond},
		"10ms..30ms":             {10 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond},
		"lognormal(80ms,0.5,1s)": {0, 80 * time.Millisecond, time.Second},
		"lognormal(80ms,0)":      {80 * time.Millisecond, 80 * time.Millisecond, 80 * time.Millisecond},
	} {
		d, err := latency.Parse(text)
		require.NoError(t, err, text)
		for i, u := range []float64{0, 0.5, 1 - 1e-9} {
			require.InDelta(t, quantiles[i].Seconds(), d.At(u).Seconds(), 0.005, "%s at %v", text, u)
		}
		again, err := latency.Parse(d.String())
		require.NoError(t, err)
		require.Equal(t, d, again)
	}
}

func TestRefusedForms(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"fast", "-1s", "2s..1s", "1s..", "lognormal(1s)", "lognormal(1s,x)", "lognormal(1s,NaN)", "lognormal(1s,1"} {
		_, err := latency.Parse(text)
		require.ErrorContains(t, err, "parsing latency", text)
	}
}

func TestJSONIsTheText(t *testing.T) {
	t.Parallel()
	var d latency.Distribution
	require.NoError(t, json.Unmarshal([]byte(`"5ms..9ms"`), &d))
	text, err := json.Marshal(d)
	require.NoError(t, err)
	require.Equal(t, `"5ms..9ms"`, string(text))
}
