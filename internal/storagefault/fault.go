package storagefault

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// errCut means that the connection to the client is to be cut without a reply.
var errCut = errors.New("connection cut")

// reply is what a client gets.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// serve is the way of one request.
func (p *Proxy) serve(f *front, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		cut(w) // the client gave up, or Close cut it off
		return
	}
	req := request{Request: r, operation: f.operation(r), body: body}
	if req.operation == TableQuery {
		req.resumed = resume(r.URL)
	}
	p.mu.Lock()
	script := p.script
	p.mu.Unlock()
	rule := script.pick(req)
	seen := Count{Requests: 1}
	if rule.Fault != None || rule.Delay != 0 {
		seen.Faults = 1
	}
	p.count(req.operation, seen)

	answer, err := p.suffer(f, req, rule)
	if err != nil {
		cut(w) // that is what a client sees of a service that cannot be reached
		return
	}
	header := w.Header()
	maps.Copy(header, answer.header)
	header.Del("Transfer-Encoding")
	header.Del("Connection")
	header.Set("Content-Length", strconv.Itoa(len(answer.body)))
	if answer.status == http.StatusNoContent || answer.status == http.StatusNotModified {
		header.Del("Content-Length")
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body) // a client that has gone needs no reply
}

// suffer makes the reply to a request that met a rule.
func (p *Proxy) suffer(f *front, req request, rule Rule) (reply, error) {
	if err := p.wait(req, rule.Delay); err != nil {
		return reply{}, err
	}
	switch rule.Fault {
	case ServerBusy:
		return errorReply(req, http.StatusServiceUnavailable, "ServerBusy", "The server is busy."), nil
	case OperationTimedOut:
		return timedOut(req), nil
	case LostRequest:
		return reply{}, errCut
	case EmptyPage:
		return emptyPage(req), nil
	case ShortPage:
		shorten(req.URL, max(rule.PageSize, 1))
	case None, LostReply, OperationTimedOutLate:
	}
	answer, err := p.forward(f, req)
	if err != nil {
		return reply{}, err
	}
	switch rule.Fault {
	case LostReply:
		return reply{}, errCut
	case OperationTimedOutLate:
		return timedOut(req), nil
	default:
		return answer, nil
	}
}

// wait waits for d unless the client or the proxy goes first.
func (p *Proxy) wait(req request, d time.Duration) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-req.Context().Done():
		return req.Context().Err()
	case <-p.closing:
		return errCut
	}
}

// cut closes the client's connection.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's own way to cut a connection
	}
	_ = conn.Close()
}

func timedOut(req request) reply {
	return errorReply(req, http.StatusInternalServerError, "OperationTimedOut",
		"The operation could not be completed within the permitted time.")
}

// errorReply makes an error as the service does: JSON from tables, XML with the code repeated in a header from queues.
// See "Status and error codes" in the reference of the storage services' REST API.
func errorReply(req request, status int, code, message string) reply {
	message = fmt.Sprintf("%s\nRequestId:00000000-0000-0000-0000-000000000000\nTime:%s", message,
		time.Now().UTC().Format("2006-01-02T15:04:05.0000000Z"))
	header := http.Header{"X-Ms-Request-Id": {"00000000-0000-0000-0000-000000000000"}}
	var body bytes.Buffer
	if strings.HasPrefix(req.operation, "table.") {
		header.Set("Content-Type", "application/json;odata=minimalmetadata;streaming=true;charset=utf-8")
		inner := map[string]any{"code": code, "message": map[string]string{"lang": "en-US", "value": message}}
		_ = json.NewEncoder(&body).Encode(map[string]any{"odata.error": inner}) // strings into memory
	} else {
		header.Set("Content-Type", "application/xml")
		header.Set("X-Ms-Error-Code", code)
		body.WriteString(xml.Header)
		_ = xml.NewEncoder(&body).Encode(struct {
			XMLName       xml.Name `xml:"Error"`
			Code, Message string
		}{Code: code, Message: message}) // strings into memory
	}
	return reply{status: status, header: header, body: body.Bytes()}
}

// resumeMark begins the continuation tokens of synthetic empty pages; what follows is the token of the request that
// was answered so. Tokens are opaque to clients.
const resumeMark = "storagefault!"

const (
	nextPartition = "NextPartitionKey"
	nextRow       = "NextRowKey"
)

// emptyPage makes a page without entities. "Query timeout and pagination" in the Table service's REST reference warns
// of such pages, and that the row key may be missing from the continuation.
func emptyPage(req request) reply {
	query := req.URL.Query()
	header := http.Header{"Content-Type": {"application/json;odata=nometadata;streaming=true;charset=utf-8"}}
	header.Set("X-Ms-Continuation-"+nextPartition, resumeMark+query.Get(nextPartition))
	if row := query.Get(nextRow); row != "" {
		header.Set("X-Ms-Continuation-"+nextRow, row)
	}
	return reply{status: http.StatusOK, header: header, body: []byte(`{"value":[]}`)}
}

// resume turns the token of a synthetic empty page back into the one before, and says whether there was one.
func resume(u *url.URL) bool {
	query := u.Query()
	token, ours := strings.CutPrefix(query.Get(nextPartition), resumeMark)
	if !ours {
		return false
	}
	if token == "" {
		query.Del(nextPartition)
		query.Del(nextRow)
	} else {
		query.Set(nextPartition, token)
	}
	u.RawQuery = query.Encode()
	return true
}

// shorten lowers $top to at most n entities.
func shorten(u *url.URL, n int) {
	query := u.Query()
	if top, err := strconv.Atoi(query.Get("$top")); err == nil && top < n {
		return
	}
	query.Set("$top", strconv.Itoa(n))
	u.RawQuery = query.Encode()
}
