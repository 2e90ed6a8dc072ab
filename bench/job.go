package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// jobSpec says what a job does, and to which devices.
type jobSpec struct {
	devices   int       // how many it must reach
	twins     bool      // update twins instead of calling a method
	condition string    // "" is all devices
	ids       []string  // instead of a condition
	due       time.Time // zero is at once
}

// outcome says how long a job took, in seconds since it was due.
type outcome struct {
	id        string
	due       time.Time
	firstCall float64   // when the first device was called
	lastEnd   float64   // when the last device's execution ended
	completed float64   // when the API said that the job is completed
	reads     []float64 // how long it took to read the job while it ran, in ms
}

// notice is how far ahead jobs are sent. Without any, a job waits for the host to look into its queue, for up to
// maxPollingInterval in host.json while the app is idle: that is no matter of throughput.
const notice = 3 * time.Second

// soon is the time at which jobs are due that are sent now.
func soon() time.Time { return time.Now().Add(notice).UTC() }

// jobTimeout is how long a job may take: enough for a slow machine.
func jobTimeout(devices int) time.Duration {
	return 5*time.Minute + time.Duration(devices)*2*time.Millisecond
}

// runMeasured runs a job and reads its executions.
func (w *world) runMeasured(ctx context.Context, spec jobSpec) (outcome, error) {
	o, err := w.runJob(ctx, spec)
	if err != nil {
		return o, err
	}
	first, last, err := w.span(ctx, o.id, spec.devices)
	o.firstCall, o.lastEnd = first.Sub(o.due).Seconds(), last.Sub(o.due).Seconds()
	return o, err
}

// runJob runs a job and reads nothing but its progress.
func (w *world) runJob(ctx context.Context, spec jobSpec) (outcome, error) {
	o := outcome{id: fmt.Sprintf("bench-%d", w.jobs.Add(1)), due: spec.due}
	if o.due.IsZero() {
		o.due = time.Now().UTC()
	}
	if err := w.create(ctx, o.id, spec); err != nil {
		return o, err
	}
	if err := wait(ctx, time.Until(o.due)); err != nil {
		return o, err
	}
	err := w.await(ctx, &o, spec.devices)
	o.completed = time.Since(o.due).Seconds()
	return o, err
}

// create sends a job.
func (w *world) create(ctx context.Context, id string, spec jobSpec) error {
	d := client.Definition{
		Type: client.TypeMethod, Method: &client.Method{Name: methodName, Payload: json.RawMessage(methodPayload)},
		DeviceIDs: spec.ids, StartTime: spec.due,
	}
	if spec.twins {
		d.Type, d.Method = client.TypeTwin, nil
		d.UpdateTwin = &client.TwinUpdate{Properties: &client.TwinProperties{Desired: json.RawMessage(twinDesired)}}
	}
	if spec.ids == nil {
		if d.QueryCondition = spec.condition; d.QueryCondition == "" {
			d.QueryCondition = "*"
		}
	}
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	_, err = w.api.Create(ctx, id, body)
	return err
}

// await polls a job until it has ended, and fails unless every device succeeded.
func (w *world) await(ctx context.Context, o *outcome, devices int) error {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout(devices))
	defer cancel()
	for {
		began := time.Now()
		job, err := w.api.Job(ctx, o.id)
		if err != nil {
			return err
		}
		o.reads = append(o.reads, milliseconds(time.Since(began)))
		switch {
		case job.Ended() && (!job.AllSucceeded() || job.Statistics.SucceededCount != devices):
			return fmt.Errorf("job %s of %d devices: %s, %+v", o.id, devices, job.Status, job.Statistics)
		case job.Ended():
			return nil
		}
		if err := wait(ctx, w.poll); err != nil {
			return fmt.Errorf("waiting for job %s, %+v: %w", o.id, job.Statistics, err)
		}
	}
}

// wait returns after d, or with the error of ctx.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
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
