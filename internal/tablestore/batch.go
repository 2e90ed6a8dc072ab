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

// batch is a transaction over rows of one partition. Its first operation is the one whose row decides whether the whole
// was ours after a lost reply, and whose new revision apply returns.
type batch struct {
	actions []aztables.TransactionAction
	first   entity
	token   string
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
	switch {
	case b.err != nil:
		return "", b.err
	case len(b.actions) > maxBatch:
		return "", fmt.Errorf("changing row %s with others: %d rows are more than the %d of one transaction",
			b.first.row(), len(b.actions), maxBatch)
	}
	var resp *http.Response
	_, err := t.client.SubmitTransaction(policy.WithCaptureResponse(ctx, &resp), b.actions, nil)
	if err != nil {
		return t.ours(ctx, b.first, b.token, failure("changing with others", b.first.row(), err))
	}
	if rev := firstETag(resp); rev != "" || b.actions[0].ActionType == aztables.TransactionTypeDelete {
		return rev, nil
	}
	_, rev, err := t.get(ctx, b.first.text("PartitionKey"), b.first.row())
	return rev, err
}

// firstETag reads the revision of the first row from the reply, which aztables does not hand out.
func firstETag(resp *http.Response) string {
	return firstPart(resp).header.Get("ETag")
}

// refusal gives status and code of a refused request. Of a transaction aztables reports 202, with the real ones inside the
// body (https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions#sample-error-response).
func refusal(re *azcore.ResponseError) (status int, code string) {
	if re.StatusCode != http.StatusAccepted {
		return re.StatusCode, re.ErrorCode
	}
	part := firstPart(re.RawResponse)
	if part.status == 0 {
		return re.StatusCode, re.ErrorCode
	}
	var body struct {
		Error struct{ Code string } `json:"odata.error"`
	}
	_ = json.NewDecoder(bytes.NewReader(part.body)).Decode(&body) // a body that says nothing leaves the status
	return part.status, body.Error.Code
}

// embedded is a response inside a multipart reply; the zero value is none.
type embedded struct {
	status int
	header http.Header
	body   []byte
}

// firstPart finds the first embedded HTTP response of a multipart reply.
func firstPart(resp *http.Response) embedded {
	if resp == nil {
		return embedded{}
	}
	reply, err := runtime.Payload(resp)
	if err != nil {
		return embedded{}
	}
	start := bytes.Index(reply, []byte("HTTP/1.1 "))
	if start < 0 {
		return embedded{}
	}
	part, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(reply[start:])), nil)
	if err != nil {
		return embedded{}
	}
	defer part.Body.Close()          //nolint:errcheck // a reader over memory
	body, _ := io.ReadAll(part.Body) // what is there; the reply's own end may follow without a length
	return embedded{status: part.StatusCode, header: part.Header, body: body}
}
