package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// outcome says how long a job took, in seconds since it was due.
type outcome struct {
	due       time.Time
	firstCall float64
	lastEnd   float64 // when the last device's execution ended
	completed float64 // when the API said that the job is completed
}

const (
	// notice is how far ahead jobs are sent. Without any, a job waits for the host to look into its queue, for up to
	// maxPollingInterval in host.json while the app is idle: that is no matter of throughput.
	notice     = 3 * time.Second
	jobTimeout = 5 * time.Minute
)

// runMethodJob runs a method job over the whole fleet, or over ids when there are any, due after ahead, and reads its
// executions.
func (w *world) runMethodJob(ctx context.Context, devices int, ids []string, ahead time.Duration) (outcome, error) {
	o, id, err := w.runJob(ctx, devices, ids, ahead)
	if err != nil {
		return o, err
	}
	first, last, err := w.span(ctx, id, devices)
	o.firstCall, o.lastEnd = first.Sub(o.due).Seconds(), last.Sub(o.due).Seconds()
	return o, err
}

// runJob runs a method job and reads nothing but its progress.
func (w *world) runJob(ctx context.Context, devices int, ids []string, ahead time.Duration) (outcome, string, error) {
	w.jobs++
	id := fmt.Sprintf("bench-%d", w.jobs)
	definition := client.Definition{
		Type: client.TypeMethod, Method: &client.Method{Name: methodName, Payload: json.RawMessage(methodPayload)}, DeviceIDs: ids,
	}
	if ids == nil {
		definition.QueryCondition = "*"
	}
	o := outcome{due: time.Now().Add(ahead).UTC()}
	if ahead > 0 {
		definition.StartTime = o.due
	}
	body, err := json.Marshal(definition)
	if err != nil {
		return o, id, err
	}
	if _, err := w.api.Create(ctx, id, body); err != nil {
		return o, id, err
	}
	select {
	case <-time.After(time.Until(o.due)):
	case <-ctx.Done():
		return o, id, ctx.Err()
	}
	seen, err := w.await(ctx, id, devices)
	o.completed = seen.Sub(o.due).Seconds()
	return o, id, err
}

// await polls a job until it has ended, and fails unless every device succeeded.
func (w *world) await(ctx context.Context, id string, devices int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	for {
		job, err := w.api.Job(ctx, id)
		if err != nil {
			return time.Time{}, err
		}
		switch {
		case job.Ended() && (!job.AllSucceeded() || job.Statistics.SucceededCount != devices):
			return time.Time{}, fmt.Errorf("job %s of %d devices: %s, %+v", id, devices, job.Status, job.Statistics)
		case job.Ended():
			return time.Now(), nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("waiting for job %s, %+v: %w", id, job.Statistics, ctx.Err())
		}
	}
}

// span gives the start of a job's first call and the end of its last.
func (w *world) span(ctx context.Context, id string, devices int) (first, last time.Time, err error) {
	options := client.ListOptions{PageSize: 1000}
	n := 0
	for {
		page, err := w.api.Executions(ctx, id, options)
		if err != nil {
			return first, last, err
		}
		for _, e := range page.Executions {
			if first.IsZero() || e.StartTime.Before(first) {
				first = e.StartTime
			}
			if e.EndTime.After(last) {
				last = e.EndTime
			}
			n++
		}
		if options.Continuation = page.Continuation; options.Continuation == "" {
			break
		}
	}
	if n != devices {
		err = fmt.Errorf("job %s lists %d executions of %d devices", id, n, devices)
	}
	return first, last, err
}
