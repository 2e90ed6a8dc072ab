package localhost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2/queueerror"
)

// developmentStorage is what UseDevelopmentStorage=true stands for: Azurite's public, well-known account.
// See https://learn.microsoft.com/azure/storage/common/storage-use-azurite.
const developmentStorage = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;" +
	"AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;" +
	"QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"

// storageQueue is a messageQueue in Azure Queue Storage or Azurite.
type storageQueue struct {
	name   string // for errors: the client's URL may hold a signature
	client *azqueue.QueueClient
}

// storageTransport makes the HTTP transport that all storage queues of a host share.
func storageTransport() *http.Transport {
	// Azurite closes idle connections after about 6 s.
	return &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 4 * time.Second, Proxy: http.ProxyFromEnvironment}
}

// openStorageQueue connects to a queue. Its errors never hold the connection string.
func openStorageQueue(transport *http.Transport, connection, name string) (messageQueue, error) {
	if strings.EqualFold(strings.Trim(connection, "; "), "UseDevelopmentStorage=true") {
		connection = developmentStorage
	}
	options := &azqueue.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: transport},
		Retry:     policy.RetryOptions{RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 5 * time.Second},
	}}
	client, err := azqueue.NewQueueClientFromConnectionString(connection, name, options)
	if err != nil {
		return nil, fmt.Errorf("queue %s: the storage connection string is not valid", name)
	}
	return &storageQueue{name: name, client: client}, nil
}

// Receive implements messageQueue.
func (q *storageQueue) Receive(ctx context.Context, limit int, hide time.Duration) ([]message, error) {
	response, err := q.client.DequeueMessages(ctx, &azqueue.DequeueMessagesOptions{
		NumberOfMessages:  new(int32(min(limit, maxBatchSize))), //nolint:gosec // at most 32
		VisibilityTimeout: new(seconds(hide)),
	})
	if queueerror.HasCode(err, queueerror.QueueNotFound, queueerror.QueueBeingDeleted) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("receiving from queue %s: %w", q.name, err)
	}
	batch := make([]message, 0, len(response.Messages))
	for _, m := range response.Messages {
		if m == nil || m.MessageID == nil || m.PopReceipt == nil {
			return nil, errors.New("receiving: a message has no id or pop receipt")
		}
		batch = append(batch, message{
			id: *m.MessageID, popReceipt: *m.PopReceipt, text: value(m.MessageText), dequeueCount: value(m.DequeueCount),
			inserted: value(m.InsertionTime), expires: value(m.ExpirationTime), nextVisible: value(m.TimeNextVisible),
		})
	}
	return batch, nil
}

// Update implements messageQueue.
func (q *storageQueue) Update(ctx context.Context, m message, hide time.Duration) (message, error) {
	response, err := q.client.UpdateMessage(ctx, m.id, m.popReceipt, m.text, &azqueue.UpdateMessageOptions{
		VisibilityTimeout: new(seconds(hide)),
	})
	if err != nil {
		return m, fmt.Errorf("updating message %s: %w", m.id, goneOr(err))
	}
	m.popReceipt, m.nextVisible = value(response.PopReceipt), value(response.TimeNextVisible)
	return m, nil
}

// Delete implements messageQueue.
func (q *storageQueue) Delete(ctx context.Context, m message) error {
	if _, err := q.client.DeleteMessage(ctx, m.id, m.popReceipt, nil); err != nil {
		return fmt.Errorf("deleting message %s: %w", m.id, goneOr(err))
	}
	return nil
}

// Send implements messageQueue.
func (q *storageQueue) Send(ctx context.Context, text string) error {
	_, err := q.client.EnqueueMessage(ctx, text, nil)
	if queueerror.HasCode(err, queueerror.QueueNotFound) {
		if _, err = q.client.Create(ctx, nil); err == nil || queueerror.HasCode(err, queueerror.QueueAlreadyExists) {
			_, err = q.client.EnqueueMessage(ctx, text, nil)
		}
	}
	if err != nil {
		return fmt.Errorf("sending to queue %s: %w", q.name, err)
	}
	return nil
}

// goneOr maps the service's ways of saying that a pop receipt is no longer good.
func goneOr(err error) error {
	if queueerror.HasCode(err, queueerror.MessageNotFound, queueerror.PopReceiptMismatch, queueerror.QueueNotFound) {
		return errMessageGone
	}
	return err
}

// seconds is the service's resolution of a visibility timeout.
func seconds(d time.Duration) int32 {
	return int32(min(d, 7*24*time.Hour) / time.Second) //nolint:gosec // at most 604,800
}

// value is what a pointer of the SDK points to, or zero.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
