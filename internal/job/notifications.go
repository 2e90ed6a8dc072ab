package job

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// EventKind is what happened to a job: it began, or it ended with one of its final statuses.
type EventKind string

// The events.
const (
	EventStarted   EventKind = "started"
	EventCompleted EventKind = EventKind(StatusCompleted)
	EventFailed    EventKind = EventKind(StatusFailed)
	EventCancelled EventKind = EventKind(StatusCancelled)
)

// EventKinds lists the events.
func EventKinds() []EventKind {
	return []EventKind{EventStarted, EventCompleted, EventFailed, EventCancelled}
}

// Notifications says who is called when something happens to a job.
type Notifications struct {
	// CallbackURL is an absolute URL whose query may hold a signature: it is stored and never shown, see Redacted.
	CallbackURL string `json:"callbackUrl"`
	// Events are those that it is called for; none means the three ends.
	Events []EventKind `json:"events,omitempty"`
}

// Wants reports whether kind is to be told.
func (n *Notifications) Wants(kind EventKind) bool {
	if len(n.Events) == 0 {
		return kind != EventStarted
	}
	return slices.Contains(n.Events, kind)
}

// Redacted gives n with an address that can be shown, nil for nil.
func (n *Notifications) Redacted() *Notifications {
	if n == nil {
		return nil
	}
	return &Notifications{CallbackURL: redactQuery(n.CallbackURL), Events: n.Events}
}

func redactQuery(address string) string {
	if path, _, ok := strings.Cut(address, "?"); ok {
		return path + "?redacted"
	}
	return address
}

// Channel is a way on which events leave.
type Channel string

// The channels.
const (
	ChannelCallback  Channel = "callback"
	ChannelEventGrid Channel = "eventGrid"
)

// DeliveryState says how far a delivery has come.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed"
)

// Delivery is one event on one channel, from the write that made it owed to its last attempt.
type Delivery struct {
	Event      EventKind
	Channel    Channel
	State      DeliveryState
	Attempts   int
	OwedAt     time.Time
	At         time.Time // of the last attempt
	NextAt     time.Time // of the next attempt, while pending
	LastError  string    // a word of a closed set, "" when the last attempt was none or a success
	LastStatus int       // that the receiver answered the last failed attempt with, 0 without an answer
}

// Owe adds a delivery for everything that happened to the job and was not owed yet; published says that there is a topic,
// which hears of everything. Doing it again changes nothing.
func (r *Record) Owe(published bool, now time.Time) {
	if !r.StartedAt.IsZero() {
		r.owe(EventStarted, published, now)
	}
	if r.Status.Ended() {
		r.owe(EventKind(r.Status), published, now)
	}
}

func (r *Record) owe(kind EventKind, published bool, now time.Time) {
	for _, c := range []struct {
		channel Channel
		wanted  bool
	}{
		{ChannelCallback, r.Notifications != nil && r.Notifications.Wants(kind)},
		{ChannelEventGrid, published},
	} {
		if c.wanted && r.Delivery(kind, c.channel) == nil {
			r.Deliveries = append(r.Deliveries, Delivery{
				Event: kind, Channel: c.channel, State: DeliveryPending, OwedAt: now, NextAt: now,
			})
		}
	}
}

// Delivery gives the delivery of an event on a channel, nil when it is not owed.
func (r *Record) Delivery(kind EventKind, channel Channel) *Delivery {
	for i, d := range r.Deliveries {
		if d.Event == kind && d.Channel == channel {
			return &r.Deliveries[i]
		}
	}
	return nil
}

// Begin notes an attempt at now. Nobody else makes one before the lease is over.
func (d *Delivery) Begin(now time.Time, lease time.Duration) {
	d.Attempts++
	d.At, d.NextAt = now, now.Add(lease)
}

// Succeed ends the delivery.
func (d *Delivery) Succeed() {
	d.State, d.NextAt, d.LastError, d.LastStatus = DeliveryDelivered, time.Time{}, "", 0
}

// Fail notes why the last attempt failed, and when the next one is, or that there is none.
func (d *Delivery) Fail(reason string, status int, next time.Time, again bool) {
	d.LastError, d.LastStatus, d.NextAt = reason, status, next
	if !again {
		d.State, d.NextAt = DeliveryFailed, time.Time{}
	}
}

// DueDelivery gives the first pending delivery whose time has come, nil when there is none.
func (r *Record) DueDelivery(now time.Time) *Delivery {
	for i, d := range r.Deliveries {
		if d.State == DeliveryPending && !d.NextAt.After(now) {
			return &r.Deliveries[i]
		}
	}
	return nil
}

// NextDelivery is when the earliest pending delivery is due, zero when none is pending.
func (r *Record) NextDelivery() time.Time {
	var next time.Time
	for _, d := range r.Deliveries {
		if d.State == DeliveryPending && (next.IsZero() || d.NextAt.Before(next)) {
			next = d.NextAt
		}
	}
	return next
}

// notifications reads who is to be called. Its faults do not repeat what was sent.
func (o *object) notifications() *Notifications {
	n := o.nested("notifications")
	if n == nil {
		return nil
	}
	n.only("callbackUrl", "events")
	found := &Notifications{CallbackURL: n.text("callbackUrl"), Events: n.events()}
	if rule := callbackRule(found.CallbackURL); rule != "" {
		n.fault("callbackUrl", nil, rule)
	}
	return found
}

// callbackRule gives the rule that an address breaks whatever the settings are, "" when it breaks none.
func callbackRule(address string) string {
	u, err := url.Parse(address)
	switch {
	case address == "":
		return "is required: an absolute https URL"
	case len(address) > MaxCallbackURL:
		return fmt.Sprintf("has %d bytes; must have at most %d", len(address), MaxCallbackURL)
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || !printable(address):
		return "must be an absolute https URL of printable ASCII characters without space"
	case u.User != nil:
		return "must not hold a user or a password"
	case strings.Contains(address, "#"):
		return "must not have a fragment"
	}
	return ""
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' })
}

func (o *object) events() []EventKind {
	if !o.has("events") {
		return nil
	}
	var kinds []EventKind
	err := json.Unmarshal(o.members["events"], &kinds)
	known := EventKinds()
	for i, kind := range kinds {
		if !slices.Contains(known, kind) || slices.Contains(kinds[:i], kind) {
			kinds = nil
			break
		}
	}
	if err != nil || len(kinds) == 0 {
		o.fault("events", o.members["events"], `must be an array of "started", "completed", "failed" and "cancelled", none twice`)
		return nil
	}
	return kinds
}
