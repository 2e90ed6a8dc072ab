package localhost

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Facts of the host's queue listener.
// See https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger.
const (
	messageLease  = 10 * time.Minute // how long a message stays invisible before it is renewed
	settleTimeout = 30 * time.Second // for deleting, releasing and moving a message, also while the host stops
	poisonSuffix  = "-poison"
)

// message is a queue message as it is on the wire.
type message struct {
	id           string
	popReceipt   string
	text         string // encoded as in the queue
	dequeueCount int64
	inserted     time.Time
	expires      time.Time
	nextVisible  time.Time
}

// errMessageGone says that a message was deleted, or received by somebody else in the meantime.
var errMessageGone = errors.New("message is gone or was received again by another")

// messageQueue is a storage queue.
type messageQueue interface {
	// Receive returns up to limit messages and hides them. A queue that does not exist is empty.
	Receive(ctx context.Context, limit int, hide time.Duration) ([]message, error)
	// Update hides a received message for that long from now and returns it with its new pop receipt, or errMessageGone.
	Update(ctx context.Context, m message, hide time.Duration) (message, error)
	// Delete removes a received message, or returns errMessageGone.
	Delete(ctx context.Context, m message) error
	// Send adds a message with the service's default time to live, creating the queue if need be.
	Send(ctx context.Context, text string) error
}

// encode and decode apply extensions.queues.messageEncoding.
func (c queueConfig) encode(text string) string {
	if c.base64 {
		return base64.StdEncoding.EncodeToString([]byte(text))
	}
	return text
}

func (c queueConfig) decode(wire string) (string, error) {
	if !c.base64 {
		return wire, nil
	}
	text, err := base64.StdEncoding.DecodeString(wire)
	if err != nil {
		return "", fmt.Errorf("decoding message: %w", err)
	}
	return string(text), nil
}

// queueListener feeds one queue to one function on one instance.
type queueListener struct {
	config  queueConfig
	lease   time.Duration
	queue   messageQueue
	poison  messageQueue
	log     *slog.Logger
	process func(ctx context.Context, m message, text string) error
}

// listen receives and processes messages until ctx ends, then waits for what is in flight. Messages are processed
// under workCtx, which outlives ctx while the host drains.
func (l *queueListener) listen(ctx, workCtx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	finished := make(chan struct{}, l.config.batchSize+l.config.newBatchThreshold)
	active := 0
	delay := minPolling
	for {
		for active > l.config.newBatchThreshold {
			select {
			case <-finished:
				active--
			case <-ctx.Done():
				return
			}
		}
		batch := l.receive(ctx, workCtx)
		if len(batch) == 0 {
			if !l.pause(ctx, delay) {
				return
			}
			delay = min(2*delay, l.config.maxPolling)
		} else {
			delay = minPolling
		}
		active += len(batch)
		for _, m := range batch {
			running.Go(func() {
				l.handle(workCtx, m)
				finished <- struct{}{}
			})
		}
		for len(finished) > 0 {
			<-finished
			active--
		}
	}
}

// receive gets the next batch. It does not cancel a request under way, since the messages of a lost answer would
// stay hidden; what arrives too late is released.
func (l *queueListener) receive(ctx, workCtx context.Context) []message {
	if ctx.Err() != nil {
		return nil
	}
	requestCtx, cancel := context.WithTimeout(context.WithoutCancel(workCtx), settleTimeout)
	defer cancel()
	batch, err := l.queue.Receive(requestCtx, l.config.batchSize, l.lease)
	if err != nil {
		l.log.Error("receiving messages", "error", err)
		return nil
	}
	if ctx.Err() == nil {
		return batch
	}
	for _, m := range batch {
		l.settled(l.release(requestCtx, m, 0))
	}
	return nil
}

// pause waits about that long, with the jitter of the host's exponential backoff; false means ctx has ended.
func (l *queueListener) pause(ctx context.Context, delay time.Duration) bool {
	jittered := time.Duration(float64(delay) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // jitter
	timer := time.NewTimer(min(jittered, l.config.maxPolling))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// handle processes one message and settles it: deleted on success, visible again on failure, moved to the poison
// queue when it has failed too often, was delivered too often, or cannot be read.
func (l *queueListener) handle(ctx context.Context, m message) {
	text, decodeErr := l.config.decode(m.text)
	var processErr error
	if decodeErr == nil && m.dequeueCount <= l.config.maxDequeueCount {
		m, processErr = l.processLeased(ctx, m, text)
	}
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	switch {
	case decodeErr != nil || m.dequeueCount > l.config.maxDequeueCount:
		l.settled(l.moveToPoison(settle, m))
	case processErr == nil:
		l.settled(l.queue.Delete(settle, m))
	case m.dequeueCount >= l.config.maxDequeueCount:
		l.settled(l.moveToPoison(settle, m))
	default:
		l.settled(l.release(settle, m, l.config.visibilityTimeout))
	}
}

// processLeased runs the function and renews the message's lease at half time for as long as it runs. It returns
// the message with its latest pop receipt.
func (l *queueListener) processLeased(ctx context.Context, m message, text string) (message, error) {
	renewCtx, stop := context.WithCancel(ctx)
	renewed := make(chan message, 1)
	go func() { renewed <- l.renew(renewCtx, m) }()
	err := l.process(ctx, m, text)
	stop()
	return <-renewed, err
}

func (l *queueListener) renew(ctx context.Context, m message) message {
	ticker := time.NewTicker(l.lease / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return m
		case <-ticker.C:
		}
		// The request itself is not cancelled: the receipt that it returns is needed to settle the message.
		request, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
		updated, err := l.queue.Update(request, m, l.lease)
		cancel()
		if err != nil {
			l.log.Warn("renewing a message's lease", "message", m.id, "error", err)
			if errors.Is(err, errMessageGone) {
				return m
			}
			continue
		}
		m = updated
	}
}

func (l *queueListener) release(ctx context.Context, m message, hide time.Duration) error {
	_, err := l.queue.Update(ctx, m, hide)
	return err
}

func (l *queueListener) moveToPoison(ctx context.Context, m message) error {
	l.log.Error("message has reached MaxDequeueCount or cannot be read, moving it to the poison queue",
		"message", m.id, "dequeueCount", m.dequeueCount)
	if err := l.poison.Send(ctx, m.text); err != nil {
		return fmt.Errorf("moving message to poison queue: %w", err)
	}
	return l.queue.Delete(ctx, m)
}

// settled reports a message that could not be settled. Nobody waits for it: the message will be seen again.
func (l *queueListener) settled(err error) {
	if err != nil {
		l.log.Warn("settling a message", "error", err)
	}
}
