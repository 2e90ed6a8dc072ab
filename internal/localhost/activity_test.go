package localhost

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheHostGoesOnWithTheCallersTraceInASpanOfItsOwn(t *testing.T) {
	t.Parallel()
	const caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	out := http.Header{}
	activity(out, caller)
	require.Regexp(t, "^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01$", out.Get("Traceparent"))
	require.NotEqual(t, caller, out.Get("Traceparent"))
}

func TestTheHostBeginsATraceThatNobodySamples(t *testing.T) {
	t.Parallel()
	for _, caller := range []string{"", "00-x", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"} {
		out := http.Header{"Traceparent": {caller}}
		activity(out, caller)
		require.Regexp(t, "^00-[0-9a-f]{32}-[0-9a-f]{16}-00$", out.Get("Traceparent"), caller)
		require.NotContains(t, out.Get("Traceparent"), "4bf92f35", caller)
	}
}
