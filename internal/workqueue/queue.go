// Package workqueue sends work to a queue-triggered function of ours through one Azure Storage Queue.
//
// It owns how a body becomes a message that the Functions host reads: base64 text (the host's default
// messageEncoding), no expiry, a delay in whole seconds. It makes the queue when it is missing.
//
// It does not own receiving, redelivery and poison messages, which are the Functions host's, nor what bodies mean.
//
// Delivery is at least once, twice over: the queue redelivers what was not deleted, and a Send whose reply was lost is
// tried again by the client, so the same body may be in the queue as two messages. Receivers must bear copies.
package workqueue

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2/queueerror"
)

const (
	// MaxBody is the largest body in bytes: 64 KiB, a message's limit, less what base64 adds.
	MaxBody = 48 << 10
	// MaxDelay is the longest delay of a message.
	MaxDelay = 7 * 24 * time.Hour
)

// never is the time to live of a message that does not expire; without it a message lives seven days.
const never = -1

var (
	// ErrTooLarge means that a body is longer than MaxBody. Nothing was sent.
	ErrTooLarge = errors.New("message body is too large")
	// ErrDelay means that a delay is longer than MaxDelay. Nothing was sent.
	ErrDelay = errors.New("message delay is too long")
)

// Queue is one Storage Queue. Its methods may be called concurrently.
type Queue struct {
	client *azqueue.QueueClient
	name   string
}

// New returns the queue called name; it makes no request. Names are 3 to 63 lower-case letters, digits and single
// hyphens, beginning and ending with a letter or digit: see "Naming Queues and Metadata" on Microsoft Learn.
func New(service *azqueue.ServiceClient, name string) (*Queue, error) {
	pattern := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	if len(name) < 3 || len(name) > 63 || !pattern.MatchString(name) {
		return nil, fmt.Errorf("queue name %q: want 3 to 63 lower-case letters, digits and single hyphens", name)
	}
	return &Queue{client: service.NewQueueClient(name), name: name}, nil
}

// Name returns the queue's name.
func (q *Queue) Name() string { return q.name }

// Send puts body into the queue. It becomes visible to receivers after delay, rounded up to whole seconds; a negative
// delay is none. After an error the message may be in the queue nevertheless, unless the error is ErrTooLarge or
// ErrDelay. A missing queue is made.
func (q *Queue) Send(ctx context.Context, body []byte, delay time.Duration) error {
	if len(body) > MaxBody {
		return fmt.Errorf("sending to queue %s: %w: %d bytes, at most %d", q.name, ErrTooLarge, len(body), MaxBody)
	}
	if delay > MaxDelay {
		return fmt.Errorf("sending to queue %s: %w: %s, at most %s", q.name, ErrDelay, delay, MaxDelay)
	}
	text := base64.StdEncoding.EncodeToString(body)
	opts := &azqueue.EnqueueMessageOptions{TimeToLive: to.Ptr[int32](never), VisibilityTimeout: new(seconds(delay))}
	_, err := q.client.EnqueueMessage(ctx, text, opts)
	if queueerror.HasCode(err, queueerror.QueueNotFound) {
		if err := q.Ensure(ctx); err != nil {
			return err
		}
		_, err = q.client.EnqueueMessage(ctx, text, opts)
	}
	if err != nil {
		return fmt.Errorf("sending to queue %s: %w", q.name, err)
	}
	return nil
}

// Ensure makes the queue if it is missing. For some 30 s after a queue was deleted Azure answers QueueBeingDeleted.
func (q *Queue) Ensure(ctx context.Context) error {
	_, err := q.client.Create(ctx, nil)
	if err != nil && !queueerror.HasCode(err, queueerror.QueueAlreadyExists) { // which means: with other metadata
		return fmt.Errorf("making queue %s: %w", q.name, err)
	}
	return nil
}

// Depth returns about how many messages the queue holds, delayed and just received ones included. A missing queue
// holds none.
func (q *Queue) Depth(ctx context.Context) (int, error) {
	props, err := q.client.GetProperties(ctx, nil)
	switch {
	case queueerror.HasCode(err, queueerror.QueueNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("reading the depth of queue %s: %w", q.name, err)
	case props.ApproximateMessagesCount == nil:
		return 0, fmt.Errorf("reading the depth of queue %s: the reply holds no count", q.name)
	}
	return int(*props.ApproximateMessagesCount), nil
}

// Oldest returns when the message at the head of the queue was sent, by the service's clock, and false if no message
// is visible. Delayed messages do not show until they are due, and then count from when they were sent.
func (q *Queue) Oldest(ctx context.Context) (sent time.Time, found bool, err error) {
	reply, err := q.client.PeekMessage(ctx, nil)
	switch {
	case queueerror.HasCode(err, queueerror.QueueNotFound):
		return time.Time{}, false, nil
	case err != nil:
		return time.Time{}, false, fmt.Errorf("peeking into queue %s: %w", q.name, err)
	case len(reply.Messages) == 0:
		return time.Time{}, false, nil
	case reply.Messages[0].InsertionTime == nil:
		return time.Time{}, false, fmt.Errorf("peeking into queue %s: the reply holds no time", q.name)
	}
	return *reply.Messages[0].InsertionTime, true, nil
}

// seconds rounds up: a message must not come before it is due.
func seconds(d time.Duration) int32 {
	if d <= 0 {
		return 0
	}
	return int32((d + time.Second - 1) / time.Second)
}
