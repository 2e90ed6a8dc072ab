package localhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// forward sends an HTTP request on as the host does with enableForwardingHttpRequest: through an HTTP client that
// rebuilds it, with everything in memory. It mangles what the host mangles: escaped %, ? and # in the path,
// repeated query parameters, content headers, chunked bodies. The client going away is not noticed.
func (s *server) forward(workCtx context.Context, in *instance, fn *function, w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	var response *http.Response
	var content []byte
	err := s.invoker.counted(fn, id, func() error {
		body, err := forwardedBody(r)
		if err != nil {
			return err
		}
		return in.run(workCtx, func(ctx context.Context, wk *worker) error {
			request, err := forwardedRequest(ctx, r, wk.process.address, body)
			if err != nil {
				return err
			}
			addInvocation(request.Header, id)
			response, err = wk.transport.RoundTrip(request)
			if err != nil {
				return fmt.Errorf("forwarding to the handler: %w", err)
			}
			defer func() { _ = response.Body.Close() }()
			if content, err = io.ReadAll(response.Body); err != nil {
				return fmt.Errorf("reading the handler's answer: %w", err)
			}
			return nil
		})
	})
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	for name, values := range response.Header {
		if !isHopByHop(name) {
			w.Header()[name] = append(w.Header()[name], values...)
		}
	}
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(content) // the caller may have gone
}

// forwardedBody reads the body if the request says how long it is. The host cannot forward a chunked one: its HTTP
// client refuses the Transfer-Encoding header without content.
func forwardedBody(r *http.Request) ([]byte, error) {
	if r.ContentLength < 0 {
		return nil, errors.New("the host cannot forward a chunked request body")
	}
	if r.ContentLength == 0 {
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("reading request body: %w", err)
	}
	return body, nil
}

func forwardedRequest(ctx context.Context, r *http.Request, address string, body []byte) (*http.Request, error) {
	target := "http://" + address + forwardedPath(r.URL.EscapedPath())
	if query := forwardedQuery(r.URL.RawQuery); query != "" {
		target += "?" + query
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("rebuilding request: %w", err)
	}
	request.Host = r.Host
	for name, values := range r.Header {
		if isHopByHop(name) || isContentHeader(name) || (name == "Content-Type" && body == nil) {
			continue
		}
		request.Header[name] = slices.Clone(values)
	}
	agent := strings.TrimSpace(r.UserAgent() + " Azure-Functions-Host/" + hostVersion)
	request.Header.Set("User-Agent", agent)
	return request, nil
}

// addInvocation adds the host's headers after those of the caller, if he sent any.
func addInvocation(header http.Header, id string) {
	for name, value := range map[string]string{
		"X-Azure-Functions-HostVersion":  hostVersion,
		"X-Azure-Functions-InvocationId": id,
	} {
		values := append(header.Values(name), value)
		header.Del(name)
		header[name] = values
	}
}

// isContentHeader reports whether .NET keeps a header with the content, where the forwarded request loses it.
func isContentHeader(name string) bool {
	return slices.Contains([]string{
		"Allow", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Location",
		"Content-Md5", "Content-Range", "Expires", "Last-Modified",
	}, name)
}

// forwardedPath decodes a path (except %2F) and reads the result as a URL again: what follows a decoded ? or # is
// lost, and a decoded % may begin another escape.
func forwardedPath(escaped string) string {
	var decoded strings.Builder
	for i := 0; i < len(escaped); i++ {
		if c, ok := escapeAt(escaped, i); ok && c != '/' {
			decoded.WriteByte(c)
			i += 2
			continue
		}
		decoded.WriteByte(escaped[i])
	}
	path := decoded.String()
	if end := strings.IndexAny(path, "?#"); end >= 0 {
		path = path[:end]
	}
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		switch c, ok := escapeAt(path, i); {
		case ok && isUnreserved(c):
			out.WriteByte(c)
			i += 2
		case ok:
			out.WriteString(strings.ToUpper(path[i : i+3]))
			i += 2
		case isUnreserved(path[i]) || strings.IndexByte("/:@!$&'()*+,;=", path[i]) >= 0:
			out.WriteByte(path[i])
		default:
			fmt.Fprintf(&out, "%%%02X", path[i])
		}
	}
	return out.String()
}

// escapeAt decodes the %XX at position i, if there is one.
func escapeAt(text string, i int) (byte, bool) {
	if text[i] != '%' || i+2 >= len(text) {
		return 0, false
	}
	decoded, err := url.PathUnescape(text[i : i+3])
	if err != nil {
		return 0, false
	}
	return decoded[0], true
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// parameter is a query parameter with all its values joined by commas.
type parameter struct {
	name, value string
}

// joinedQuery reads a query as the host's dictionary does: names ignore case, values of one name are joined.
func joinedQuery(raw string) []parameter {
	var parameters []parameter
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, value = unescapeQuery(name), unescapeQuery(value)
		i := slices.IndexFunc(parameters, func(p parameter) bool { return strings.EqualFold(p.name, name) })
		if i >= 0 {
			parameters[i].value += "," + value
			continue
		}
		parameters = append(parameters, parameter{name, value})
	}
	return parameters
}

func unescapeQuery(text string) string {
	if decoded, err := url.QueryUnescape(text); err == nil {
		return decoded
	}
	return text
}

// forwardedQuery rebuilds the query from the dictionary.
func forwardedQuery(raw string) string {
	var parts []string
	escape := func(text string) string {
		return strings.NewReplacer("+", "%20", "%2C", ",").Replace(url.QueryEscape(text))
	}
	for _, p := range joinedQuery(raw) {
		parts = append(parts, escape(p.name)+"="+escape(p.value))
	}
	return strings.Join(parts, "&")
}
