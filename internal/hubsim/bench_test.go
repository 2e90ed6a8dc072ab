//go:build unix

package hubsim_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

// benchHub starts a hub with a fleet, and a client for it with its token.
func benchHub(b *testing.B, devices int, tier ...throttle.Tier) (*hubsim.Server, *http.Client, string) {
	b.Helper()
	f, err := fleetsim.New(fleetsim.Options{Devices: devices})
	require.NoError(b, err)
	opt := hubsim.Options{Fleet: f}
	if len(tier) > 0 {
		opt.Throttle = throttle.Options{Tier: tier[0], Units: 200}
	}
	server, err := hubsim.Start(b.Context(), opt)
	require.NoError(b, err)
	b.Cleanup(server.Close)
	roots := x509.NewCertPool()
	require.True(b, roots.AppendCertsFromPEM(server.CAPEM()))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 256}
	b.Cleanup(transport.CloseIdleConnections)
	token := sas.New("localhost", "service", keyOf(b, server.ConnectionString()), time.Now().Add(time.Hour))
	return server, &http.Client{Transport: transport}, token
}

// BenchmarkServeMethod is the simulator's own work for a direct method on an instant device: no client, no TLS.
func BenchmarkServeMethod(b *testing.B) {
	b.Run("unlimited", func(b *testing.B) { serveMethods(b) })
	b.Run("metered", func(b *testing.B) { serveMethods(b, throttle.S3) })
}

func serveMethods(b *testing.B, tier ...throttle.Tier) {
	server, _, token := benchHub(b, 1000, tier...)
	b.ReportAllocs()
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			path := fmt.Sprintf("/twins/dev-%06d/methods?api-version=2021-04-12", n.Add(1)%1000+1)
			req, err := http.NewRequestWithContext(b.Context(), "POST", path, strings.NewReader(`{"methodName":"reboot","payload":{"a":1}}`))
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Authorization", token)
			w := &sink{header: http.Header{}}
			server.ServeHTTP(w, req)
			if w.status != 200 {
				b.Errorf("status %d", w.status)
			}
		}
	})
}

// BenchmarkMethodOverHTTPS is a call with its client, both in this process.
func BenchmarkMethodOverHTTPS(b *testing.B) {
	server, client, token := benchHub(b, 1000)
	b.ReportAllocs()
	b.SetParallelism(16)
	var n atomic.Int64
	before := cpu(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			url := fmt.Sprintf("https://%s/twins/dev-%06d/methods?api-version=2021-04-12", server.HTTPAddr(), n.Add(1)%1000+1)
			req, err := http.NewRequestWithContext(b.Context(), "POST", url, bytes.NewReader([]byte(`{"methodName":"reboot","payload":{"a":1}}`)))
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Authorization", token)
			res, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	})
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// BenchmarkQueryAll reads 100,000 devices page by page.
func BenchmarkQueryAll(b *testing.B) {
	server, _, token := benchHub(b, 100_000)
	for b.Loop() {
		continuation := ""
		for {
			req, err := http.NewRequestWithContext(b.Context(), "POST", "/devices/query?api-version=2021-04-12",
				strings.NewReader(`{"query":"SELECT deviceId FROM devices WHERE tags.env = 'prod'"}`))
			require.NoError(b, err)
			req.Header.Set("Authorization", token)
			req.Header.Set("x-ms-continuation", continuation)
			w := &sink{header: http.Header{}}
			server.ServeHTTP(w, req)
			require.Equal(b, 200, w.status)
			if continuation = w.header.Get("x-ms-continuation"); continuation == "" {
				break
			}
		}
	}
}

// sink is a ResponseWriter without a connection.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// TestAHundredThousandDevicesFitIntoAGigabyte measures heap, of which the process uses most of its memory.
func TestAHundredThousandDevicesFitIntoAGigabyte(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs a few seconds")
	}
	before := heap()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 100_000})})
	used := heap() - before
	require.Less(t, used, uint64(512<<20), "bytes")
	require.Equal(t, 200, h.do("GET", "/twins/dev-100000", "").StatusCode)
	debug.FreeOSMemory()
	t.Logf("heap %d MiB, %d bytes per device, resident %s", used>>20, used/100_000, resident(t))
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// resident returns the process's resident memory as Linux writes it.
func resident(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
