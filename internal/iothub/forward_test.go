package iothub

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is forwarded keeps everything but host and credential.
func TestForward(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		text, err := io.ReadAll(r.Body)
		got, body = r, string(text)
		return &http.Response{StatusCode: http.StatusConflict, Header: http.Header{"Iothub-Errorcode": {"X"}}, Body: io.NopCloser(strings.NewReader("no"))}, err
	})
	for name, c := range map[string]struct {
		opts Options
		want string
	}{
		"key":   {Options{ConnectionString: "HostName=Hub.Example.com;SharedAccessKeyName=service;SharedAccessKey=c2VjcmV0"}, `^SharedAccessSignature sr=hub\.example\.com&sig=[^&]+&se=\d+&skn=service$`},
		"token": {Options{HostName: "hub.example.com", Credential: &fakeCredential{}}, `^Bearer eyJhbGciOi\.secret-token1$`},
	} {
		c.opts.Transport = base
		client, err := New(c.opts)
		require.NoError(t, err, name)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://other.example.com/devices/d%231?api-version=1&x=2", strings.NewReader("{}"))
		require.NoError(t, err)
		req.Host = "third.example.com"
		req.Header = http.Header{"If-Match": {`"a"`}, "Authorization": {"SharedAccessSignature of the caller"}}
		resp, err := client.Forwarder().RoundTrip(req)
		require.NoError(t, err, name)
		answer, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusConflict, resp.StatusCode)
		require.Equal(t, "no", string(answer))
		require.Equal(t, "X", resp.Header.Get("iothub-errorcode"))

		require.Equal(t, "https://hub.example.com/devices/d%231?api-version=1&x=2", got.URL.String())
		require.Empty(t, got.Host, "that of the URL counts")
		require.Equal(t, "{}", body)
		require.Equal(t, `"a"`, got.Header.Get("If-Match"))
		require.Len(t, got.Header.Values("Authorization"), 1)
		require.Regexp(t, c.want, got.Header.Get("Authorization"))
		require.Equal(t, "SharedAccessSignature of the caller", req.Header.Get("Authorization"), "the request that was given stays as it is")
	}
}
