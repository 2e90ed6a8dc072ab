package localhost

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkHTTP is what a request costs on its way through the host to the handler and back.
func BenchmarkHTTP(b *testing.B) {
	for name, mode := range map[string]string{"proxied": proxying, "forwarded": forwarding, "enveloped": ""} {
		b.Run(name, func(b *testing.B) {
			a := newApp(b, map[string]string{"Job/function.json": httpFunction("x", "anonymous")}, mode)
			h := a.start(b)
			transport := &http.Transport{MaxIdleConnsPerHost: 64}
			defer transport.CloseIdleConnections()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, h.URL()+"/x", http.NoBody)
					require.NoError(b, err)
					response, err := transport.RoundTrip(request)
					require.NoError(b, err)
					_, _ = io.Copy(io.Discard, response.Body)
					require.NoError(b, response.Body.Close())
				}
			})
		})
	}
}
