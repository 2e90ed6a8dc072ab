package tablestore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// maxBatch is how many rows one transaction changes at most
// (https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions).
const maxBatch = 100

// maxBatchBytes leaves room for the parts' headers below the service's 4 MiB.
const maxBatchBytes = 4<<20 - maxBatch<<10

// batch is a transaction over rows of one partition. Its first operation is the one whose row decides whether the whole
// was ours after a lost reply, and whose new revision apply returns.
type batch struct {
	actions []aztables.TransactionAction
	first   entity
	token   string
	size    int // bytes of the rows
	err     error
}

func newBatch() *batch { return &batch{token: newToken()} }

func (b *batch) add(kind aztables.TransactionType, e entity, rev string) {
	if kind != aztables.TransactionTypeDelete {
		e[tokenName] = b.token
	}
	raw, err := json.Marshal(e)
	if err != nil {
		b.err = fmt.Errorf("encoding row %s: %w", e.row(), err)
		return
	}
	if b.first == nil {
		b.first = e
	}
	action := aztables.TransactionAction{ActionType: kind, Entity: raw}
	if rev != "" {
		action.IfMatch = new(azcore.ETag(rev))
	}
	b.actions = append(b.actions, action)
	b.size += len(raw)
}

// insert refuses a row that exists; replace one whose revision is not rev; put writes whatever was there.
func (b *batch) insert(e entity) { b.add(aztables.TransactionTypeAdd, e, "") }

func (b *batch) replace(e entity, rev string) { b.add(aztables.TransactionTypeUpdateReplace, e, rev) }

func (b *batch) put(e entity) { b.add(aztables.TransactionTypeInsertReplace, e, "") }

// remove deletes a row that must exist.
func (b *batch) remove(partition, row string) {
	b.add(aztables.TransactionTypeDelete, newEntity(partition, row), string(azcore.ETagAny))
}

// removeIf deletes a row that has revision rev.
func (b *batch) removeIf(e entity, rev string) {
	b.add(aztables.TransactionTypeDelete, newEntity(e.text("PartitionKey"), e.row()), rev)
}

// apply carries the transaction out, all of it or nothing, and gives the new revision of its first row, "" when that was
// deleted.
func (t table) apply(ctx context.Context, b *batch) (string, error) {
	revs, err := t.applyAll(ctx, b)
	if err != nil {
		return "", err
	}
	if revs[0] != "" || b.actions[0].ActionType == aztables.TransactionTypeDelete {
		return revs[0], nil
	}
	_, rev, err := t.get(ctx, b.first.text("PartitionKey"), b.first.row())
	return rev, err
}

// applyAll is apply with the new revisions of all rows, "" where the reply did not tell or was lost.
func (t table) applyAll(ctx context.Context, b *batch) ([]string, error) {
	switch {
	case b.err != nil:
		return nil, b.err
	case len(b.actions) > 1 && b.size > maxBatchBytes:
		return nil, fmt.Errorf("changing row %s with others: %d bytes are more than one transaction takes", b.first.row(), b.size)
	case len(b.actions) > maxBatch:
		return nil, fmt.Errorf("changing row %s with others: %d rows are more than the %d of one transaction",
			b.first.row(), len(b.actions), maxBatch)
	}
	revs := make([]string, len(b.actions))
	var resp *http.Response
	_, err := t.client.SubmitTransaction(policy.WithCaptureResponse(ctx, &resp), b.actions, nil)
	if err != nil {
		revs[0], err = t.ours(ctx, b.first, b.token, failure("changing with others", b.first.row(), err))
		return revs, err
	}
	parts := embedded(resp)
	if len(parts) == len(revs) {
		for i, part := range parts {
			revs[i] = part.header.Get("ETag")
		}
	}
	return revs, nil
}

// refusal gives status and code of a refused request. Of a transaction aztables reports 202, with the real ones inside the
// body (https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions#sample-error-response).
func refusal(re *azcore.ResponseError) (status int, code string) {
	if re.StatusCode != http.StatusAccepted {
		return re.StatusCode, re.ErrorCode
	}
	parts := embedded(re.RawResponse)
	if len(parts) == 0 {
		return re.StatusCode, re.ErrorCode
	}
	part := parts[0]
	var body struct {
		Error struct{ Code string } `json:"odata.error"`
	}
	_ = json.NewDecoder(bytes.NewReader(part.body)).Decode(&body) // a body that says nothing leaves the status
	return part.status, body.Error.Code
}

// maxReplyBody is how much of a refusal's text is read.
const maxReplyBody = 64 << 10

// reply is a response inside a multipart reply.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// embedded reads the HTTP responses inside a multipart reply, as far as they can be read. aztables does not hand them out.
func embedded(resp *http.Response) []reply {
	if resp == nil {
		return nil
	}
	text, err := runtime.Payload(resp)
	if err != nil {
		return nil
	}
	var parts []reply
	buffered := bufio.NewReader(nil)
	for {
		start := bytes.Index(text, []byte("HTTP/1.1 "))
		if start < 0 {
			return parts
		}
		text = text[start:]
		buffered.Reset(bytes.NewReader(text))
		part, err := http.ReadResponse(buffered, nil)
		if err != nil {
			return parts
		}
		body, _ := io.ReadAll(io.LimitReader(part.Body, maxReplyBody)) // a body without a length runs into the next part
		_ = part.Body.Close()                                          // a reader over memory
		parts = append(parts, reply{status: part.StatusCode, header: part.Header, body: body})
		text = text[len("HTTP/1.1 "):]
	}
}
