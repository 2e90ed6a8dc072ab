package iothub

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"syscall"
	"testing"

	"github.com/amenzhinsky/iothub/common"
	"github.com/stretchr/testify/require"
)

// BenchmarkInvokeMethod measures a call over TLS. Its server runs in the same process: ns/op and cpu-us/op hold both ends.
func BenchmarkInvokeMethod(b *testing.B) {
	benchmarkInvoke(b, newHub(b, play(200, `{"status":200,"payload":{"rebooted":true}}`)).options())
}

// BenchmarkInvokeMethodNoNetwork measures what the client does on top of net/http's transport, the library included.
func BenchmarkInvokeMethodNoNetwork(b *testing.B) {
	benchmarkInvoke(b, Options{
		ConnectionString: connectionString("h"),
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: &answerBody{}, Request: r}, nil
		}),
	})
}

func benchmarkInvoke(b *testing.B, opts Options) {
	c := newClient(b, opts)
	m, err := NewMethod("reboot", json.RawMessage(`{"delay":5}`), 0, 0)
	require.NoError(b, err)
	b.ReportAllocs()
	b.SetParallelism(16)
	before := cpuMicros(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.InvokeMethod(context.Background(), "device-000017", m); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(cpuMicros(b)-before)/float64(b.N), "cpu-us/op")
}

// BenchmarkSignature measures the token that the library mints for each request.
func BenchmarkSignature(b *testing.B) {
	key := common.NewSharedAccessKey("contoso.azure-devices.net", "service", testKey)
	b.ReportAllocs()
	for b.Loop() {
		token, err := key.Token("contoso.azure-devices.net", 1)
		if err != nil {
			b.Fatal(err)
		}
		_ = token.String()
	}
}

func cpuMicros(b *testing.B) int64 {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}

// answerBody is a device's answer that costs nothing to make.
type answerBody struct{ off int }

func (a *answerBody) Read(p []byte) (int, error) {
	const text = `{"status":200,"payload":{"rebooted":true}}`
	n := copy(p, text[a.off:])
	a.off += n
	if a.off == len(text) {
		return n, io.EOF
	}
	return n, nil
}

func (*answerBody) Close() error { return nil }
