package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/notify"
)

const (
	// deliveriesAtOnce is how many messages about deliveries one process works on: slow receivers must not keep
	// supervisions waiting.
	deliveriesAtOnce = 8
	deliveriesBusy   = 2 * time.Second
	// deliverySoon is the longest delay of a message about a delivery; the timer sends those of later ones.
	deliverySoon   = time.Minute
	remindersATick = 100
)

// Sender delivers events; *notify.Sender does. The errors of Callback and Publish are *notify.Error.
type Sender interface {
	CheckURL(address string) (brokenRule string)
	Publishes() bool
	Callback(ctx context.Context, address string, e notify.Event) error
	Publish(ctx context.Context, e notify.Event) error
}

// Notify tells others what becomes of jobs. Without a Sender nobody is told.
type Notify struct {
	Sender Sender
	// JobJSON gives the job as the API does.
	JobJSON func(*job.Record, *job.Run) ([]byte, error)
	// Lease is how long a delivery belongs to who began it, 30 s. It must be more than the Sender's timeouts.
	Lease time.Duration
}

// checkCallback refuses an address that must not be called. What its name stands for is seen when it is called.
func (d *Dispatcher) checkCallback(def job.Definition) error {
	if def.Notifications == nil {
		return nil
	}
	rule := "is not served by this deployment"
	if s := d.opts.Notify.Sender; s != nil {
		rule = s.CheckURL(def.Notifications.CallbackURL)
	}
	if rule == "" {
		return nil
	}
	return job.Faults{{Field: "notifications.callbackUrl", Value: def.Notifications.Redacted().CallbackURL, Rule: rule}}
}

// owe notes in rec, which is about to be stored, who is to be told of its status.
func (d *Dispatcher) owe(rec *job.Record) {
	if s := d.opts.Notify.Sender; s != nil {
		rec.Owe(s.Publishes(), d.now())
	}
}

// tell has the deliveries made that rec, as it is stored, owes by now.
func (d *Dispatcher) tell(ctx context.Context, rec *job.Record) {
	if rec.DueDelivery(d.now()) == nil {
		return
	}
	if err := d.send(ctx, message{Kind: kindNotify, Run: rec.RunID}, 0); err != nil {
		d.opts.Logger.WarnContext(ctx, "the job's status is stored; the timer will have it told", "job", rec.JobID, "run", rec.RunID, "error", err)
	}
}

// remind sends a message for each job with a delivery that nobody sees to: its message died, or was to come later than
// messages are sent ahead.
func (d *Dispatcher) remind(ctx context.Context, now time.Time) error {
	if d.opts.Notify.Sender == nil {
		return nil
	}
	owed, err := d.store.Owed(ctx, now.Add(-d.opts.Silence), remindersATick)
	if err != nil {
		return err
	}
	for _, runID := range owed {
		if err := d.send(ctx, message{Kind: kindNotify, Run: runID}, 0); err != nil {
			return err
		}
	}
	return nil
}

// notify makes the deliveries of a job that are due. A copy of the message finds nothing that is due, and ends without a place
// among deliveriesAtOnce: the timer sends copies for as long as those are taken.
func (d *Dispatcher) notify(ctx context.Context, m message) error {
	if d.opts.Notify.Sender == nil {
		return nil
	}
	rec, err := d.owner(ctx, m.Run)
	if err != nil || rec.DueDelivery(d.now()) == nil {
		return err
	}
	select {
	case d.deliveries <- struct{}{}:
		defer func() { <-d.deliveries }()
	default:
		return d.send(ctx, m, deliveriesBusy)
	}
	for due := rec.DueDelivery(d.now()); due != nil; due = rec.DueDelivery(d.now()) {
		if err := d.attempt(ctx, rec, due); err != nil {
			return err
		}
		if rec, err = d.owner(ctx, m.Run); err != nil {
			return err
		}
	}
	return nil
}

// attempt makes a delivery of rec, which it claims by a write before. When somebody else wrote first it does nothing.
func (d *Dispatcher) attempt(ctx context.Context, rec *job.Record, due *job.Delivery) error {
	due.Begin(d.now(), d.opts.Notify.Lease)
	claimed := *due
	err := d.store.SaveJob(ctx, rec, rec.Status)
	if errors.Is(err, job.ErrConflict) && ctx.Err() == nil {
		return nil
	}
	if err != nil {
		return err
	}
	return d.settle(ctx, rec, claimed, d.deliver(ctx, rec, claimed))
}

// owner reads the job of a run, whose id begins with the job's: a job that was cancelled before it began has no run row.
func (d *Dispatcher) owner(ctx context.Context, runID string) (*job.Record, error) {
	return d.record(ctx, &job.Run{ID: runID, JobID: job.OwnerOf(runID)})
}

// deliver sends one event on one channel; nil is success.
func (d *Dispatcher) deliver(ctx context.Context, rec *job.Record, what job.Delivery) error {
	run, err := d.runOf(ctx, rec)
	if err != nil {
		return fmt.Errorf("reading the run of an event: %w", err)
	}
	data, err := d.opts.Notify.JobJSON(rec, run)
	if err != nil {
		return fmt.Errorf("making the data of an event: %w", err)
	}
	e := notify.Event{
		ID: eventID(rec.RunID, what.Event), Kind: string(what.Event), Subject: rec.JobID, Time: rec.EndedAt, Data: data,
	}
	if what.Event == job.EventStarted {
		e.Time = rec.StartedAt
	}
	if what.Channel == job.ChannelEventGrid {
		return d.opts.Notify.Sender.Publish(ctx, e)
	}
	return d.opts.Notify.Sender.Callback(ctx, rec.Notifications.CallbackURL, e)
}

// eventID is the same for each delivery of an event. It holds no full stop, which separates the parts of a signed text.
func eventID(runID string, kind job.EventKind) string {
	return strings.ReplaceAll(runID, ".", "_") + "_" + string(kind)
}

// settle stores how a delivery that was claimed went, and has it tried again when that is of use.
func (d *Dispatcher) settle(ctx context.Context, rec *job.Record, claimed job.Delivery, failure error) error {
	for {
		now := d.now()
		mine := rec.Delivery(claimed.Event, claimed.Channel)
		if mine == nil || mine.State != job.DeliveryPending || failure != nil && mine.Attempts != claimed.Attempts {
			return nil // another worker knows more
		}
		if failure == nil {
			mine.Succeed()
		} else {
			f := notify.ErrorOf(failure)
			next, again := notify.Next(f, mine.Attempts, mine.OwedAt, now)
			mine.Fail(string(f.Class), f.Status, next, again)
		}
		settled := *mine
		err := d.store.SaveJob(ctx, rec, rec.Status)
		if err == nil {
			return d.settled(ctx, rec, settled, now)
		}
		if !errors.Is(err, job.ErrConflict) || ctx.Err() != nil {
			return err
		}
		if rec, err = d.owner(ctx, rec.RunID); err != nil {
			return err
		}
	}
}

// settled logs how a delivery went, without its address, and sends the message of the next try if that is soon.
func (d *Dispatcher) settled(ctx context.Context, rec *job.Record, what job.Delivery, now time.Time) error {
	d.observe.notified(aboutRun(ctx, rec.RunID), what)
	if what.State != job.DeliveryPending {
		return nil
	}
	if delay := what.NextAt.Sub(now); delay <= deliverySoon {
		return d.send(ctx, message{Kind: kindNotify, Run: rec.RunID}, delay+time.Second) // not a moment too early
	}
	return nil
}
