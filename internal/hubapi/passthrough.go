package hubapi

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// passed are the headers of a request that go on to the hub, in lower case; those that begin with iothub- do too. The app's
// host adds many more, some of which say where callers come from.
const passed = " accept content-type content-encoding if-match if-none-match user-agent request-id " +
	"x-ms-client-request-id x-ms-continuation x-ms-max-item-count "

func (h *handler) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: rewrite, Transport: h.opts.Hub, FlushInterval: -1, ErrorHandler: h.hubLost,
		ErrorLog: slog.NewLogLogger(h.opts.Logger.Handler(), slog.LevelWarn),
	}
}

// passThrough has the hub answer r. Its credential is the app's own; the caller's does not leave the app.
func (h *handler) passThrough(w http.ResponseWriter, r *http.Request) error {
	h.proxy.ServeHTTP(w, r)
	return nil
}

// rewrite makes the hub's request: path, query and body as they are, headers as far as they are the hub's business. The
// transport gives it host and credential.
func rewrite(pr *httputil.ProxyRequest) {
	pr.Out.URL.Scheme, pr.Out.URL.Host, pr.Out.Host = "https", "hub", ""
	pr.Out.URL.RawQuery = withoutKeys(pr.In.URL.RawQuery)
	for name := range pr.Out.Header {
		lower := strings.ToLower(name)
		if !strings.Contains(passed, " "+lower+" ") && !strings.HasPrefix(lower, "iothub-") {
			delete(pr.Out.Header, name)
		}
	}
}

// withoutKeys takes the parameters out of a query that the Functions host reads access keys from.
func withoutKeys(query string) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(name)
		if err == nil && !strings.EqualFold(decoded, "code") && !strings.EqualFold(decoded, "clientId") {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// hubLost answers when the hub did not. Clients repeat a request by themselves on 503 and not on 504, so that a direct method
// that may have been invoked is never answered with 503.
func (h *handler) hubLost(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	var dial *net.OpError
	f := &failure{status: http.StatusGatewayTimeout, name: "GatewayTimeout", text: "The hub did not answer.", cause: err}
	if errors.As(err, &dial) && dial.Op == "dial" {
		f.status, f.name, f.text = http.StatusServiceUnavailable, "ServiceUnavailable", "The hub cannot be reached, please retry."
	}
	h.fail(w, r, f)
}
