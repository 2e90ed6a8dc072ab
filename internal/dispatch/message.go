package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// sendsAtOnce is how many messages are sent at one time.
const sendsAtOnce = 16

// kind says what a message asks for.
type kind string

const (
	kindPlan      kind = "plan"      // select the next stretch of a run's devices
	kindFeed      kind = "feed"      // take stored shards that nobody has opened
	kindShard     kind = "shard"     // call the devices of a shard
	kindSupervise kind = "supervise" // move a run on
	kindPurge     kind = "purge"     // delete the rows of a deleted job's run
	kindNotify    kind = "notify"    // tell others what happened to a run
	kindRecur     kind = "recur"     // decide about a recurring job's next occurrence
	kindExpire    kind = "expire"    // export a run whose retention has passed, and delete it
)

// message is the text of a queue message. Its member names are none that the Functions host keeps in Metadata.
type message struct {
	Kind       kind   `json:"kind"`
	Run        string `json:"run"`
	Shard      int    `json:"shard,omitempty"`
	Generation int    `json:"generation,omitempty"`
	// At and For are the shard's slot in the hub's allowance, in milliseconds since 1970 and in milliseconds; 0 is none. At of
	// a recur is the occurrence.
	At  int64 `json:"at,omitempty"`
	For int64 `json:"for,omitempty"`
	// Probe marks the one message that a blocked run lets through.
	Probe bool `json:"probe,omitempty"`
	// Tries is how often a process that was busy has put the message back.
	Tries int `json:"tries,omitempty"`
	// Trace is the W3C traceparent of what the message goes on with.
	Trace string `json:"trace,omitempty"`
	// Due is when the message is to be worked on, in milliseconds since 1970.
	Due int64 `json:"due,omitempty"`
}

func (m message) String() string {
	return fmt.Sprintf("%s of run %s, shard %d", m.Kind, m.Run, m.Shard)
}

func parseMessage(body []byte) (message, error) {
	var m message
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("reading a queue message: %w", err)
	}
	switch m.Kind {
	case kindPlan, kindFeed, kindShard, kindSupervise, kindPurge, kindNotify, kindRecur, kindExpire:
	default:
		return m, fmt.Errorf("reading a queue message: kind %q is not known", m.Kind)
	}
	if m.Run == "" || m.Shard < 0 || m.Generation < 0 || m.Tries < 0 || m.At < 0 || m.For < 0 {
		return m, fmt.Errorf("reading a queue message: run, shard or generation is missing or wrong")
	}
	return m, nil
}

// in gives m a slot.
func (m message) in(slot pace.Slot) message {
	m.At, m.For = 0, 0
	if !slot.At.IsZero() {
		m.At, m.For = slot.At.UnixMilli(), slot.For.Milliseconds()
	}
	return m
}

// slot gives m's slot, zero for none.
func (m message) slot() pace.Slot {
	if m.At == 0 {
		return pace.Slot{}
	}
	return pace.Slot{At: time.UnixMilli(m.At), For: time.Duration(m.For) * time.Millisecond}
}

// ahead is how long it is until m's slot, 0 or less for none.
func (m message) ahead(now time.Time) time.Duration {
	if m.At == 0 {
		return 0
	}
	return m.slot().At.Sub(now)
}

// early is how long m should still be on its way: it is to arrive shortly before its slot.
func (m message) early(now time.Time) time.Duration {
	if m.At == 0 {
		return 0
	}
	return m.ahead(now) - slotAhead
}

// sendShards enqueues messages of shards.
func (d *Dispatcher) sendShards(ctx context.Context, shards []message) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(sendsAtOnce)
	for _, m := range shards {
		m.Kind = kindShard
		g.Go(func() error { return d.send(ctx, m, m.early(d.now())) })
	}
	return g.Wait()
}

// send enqueues m to arrive after delay. Delays are whole seconds in Storage queues; d is cut, not rounded up, because
// who handles a message early can wait, and who handles it late can not.
func (d *Dispatcher) send(ctx context.Context, m message, delay time.Duration) error {
	d.observe.sending(ctx, &m, delay)
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding a message: %w", err)
	}
	if err := d.queue.Send(ctx, text, max(delay, 0).Truncate(time.Second)); err != nil {
		return fmt.Errorf("sending %s: %w", m, err)
	}
	return nil
}
