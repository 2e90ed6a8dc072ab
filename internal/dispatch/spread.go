package dispatch

import (
	"context"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// maxParked is how many opened shards may wait until they may be worked on beside those before them.
const maxParked = 1000

// never is when a parked shard wakes by itself.
func never() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// parked reports whether a shard was opened and waits for others to end. Nobody has its message.
func parked(u tablestore.Underway) bool { return u.WakeAt.Equal(never()) }

// spreadOut opens shards as rollOut does. Those that may not be worked on beside the ones before them are parked; the first of them go on
// as soon as they may.
func (s *supervision) spreadOut(ctx context.Context) error {
	waiting, err := s.unpark(ctx)
	if err != nil {
		return err
	}
	r, seen, from := s.run.Rollout, s.sight(), s.run.Enqueued
	most := min(s.plan.Shards-from, tablestore.MaxPerWrite, maxParked-waiting)
	if most <= 0 || r.Fits(s.now, []int{1}, seen) == 0 {
		return nil
	}
	heads, err := s.d.store.Heads(ctx, s.run.ID, from, from+most)
	if err != nil {
		return err
	}
	heads = heads[:r.Fits(s.now, devicesOf(heads), seen)]
	abreast := s.abreast()
	var free []tablestore.Underway
	for i, u := range heads {
		if !abreast.Admits(u.Part, u.Limited) {
			heads[i].CheckAt, heads[i].WakeAt = never(), never()
			continue
		}
		free = append(free, u)
	}
	slots, err := s.slotsOf(ctx, free)
	if err != nil {
		return err
	}
	opened := make([]tablestore.Underway, 0, len(heads))
	var messages []message
	for _, u := range heads {
		if !parked(u) {
			if len(messages) == len(slots) {
				break // shards are opened in order
			}
			slot := slots[len(messages)]
			at, over := r.Begin(s.now, slot.At, u.Devices, seen)
			slot = wider(slot, at, over)
			u.CheckAt = latest(s.now, slot.End()).Add(s.d.opts.Lease)
			messages = append(messages, message{Run: s.run.ID, Shard: u.Number}.in(slot))
		} else {
			r.Count(u.Devices)
		}
		u.Counts = s.run.HandOut(u.Devices, u.Counts)
		opened = append(opened, u)
	}
	if len(opened) == 0 {
		return nil
	}
	s.run.Enqueued += len(opened)
	if err := s.d.store.Grow(ctx, tablestore.Growth{Run: s.run, Opened: opened}); err != nil {
		return err
	}
	s.dirty = false
	return s.d.sendShards(ctx, messages)
}

// abreast has taken the open shards.
func (s *supervision) abreast() *job.Abreast {
	a := &job.Abreast{ChosenParts: s.run.Rollout.Chosen()}
	for _, u := range s.open {
		a.Admits(u.Part, u.Limited)
	}
	return a
}

// unpark sends the messages of parked shards that may be worked on beside those before them, and gives how many still wait. An old
// view of the run does no harm: what it takes for the first shard of a part is that, or has ended.
func (s *supervision) unpark(ctx context.Context) (waiting int, err error) {
	r, seen := s.run.Rollout, s.sight()
	a := &job.Abreast{ChosenParts: r.Chosen()}
	var free []tablestore.Underway
	for _, u := range s.open {
		admitted := a.Admits(u.Part, u.Limited)
		switch {
		case !parked(u):
		case admitted && r.Resumes(s.now, u.Devices, seen):
			seen.InFlight += u.Devices
			free = append(free, u)
		default:
			waiting++
		}
	}
	slots, err := s.slotsOf(ctx, free)
	if err != nil {
		return waiting, err
	}
	messages := make([]message, len(slots))
	for i, slot := range slots {
		u := &free[i]
		at, over := r.Turn(s.now, slot.At, u.Devices, seen)
		slot = wider(slot, at, over)
		u.WakeAt, u.CheckAt = s.now, latest(s.now, slot.End()).Add(s.d.opts.Lease)
		if err := s.d.store.MarkChecked(ctx, s.run.ID, *u); err != nil {
			return waiting, err
		}
		for j := range s.open {
			if s.open[j].Number == u.Number {
				s.open[j] = *u
			}
		}
		messages[i] = message{Run: s.run.ID, Shard: u.Number}.in(slot)
	}
	return waiting + len(free) - len(slots), s.d.sendShards(ctx, messages)
}

// slotsOf reserves the hub's allowance for shards, as many of the first as it leaves room for.
func (s *supervision) slotsOf(ctx context.Context, shards []tablestore.Underway) ([]pace.Slot, error) {
	if len(shards) == 0 {
		return nil, nil
	}
	op, err := s.d.operation(ctx, s.run)
	if err != nil {
		return nil, err
	}
	g, err := s.reserve(ctx, op, devicesOf(shards))
	return g.slots, err
}

func devicesOf(shards []tablestore.Underway) []int {
	sizes := make([]int, len(shards))
	for i, u := range shards {
		sizes[i] = u.Devices
	}
	return sizes
}

// seats lets so many of a shard's devices be called at once as it allows; nil lets all.
type seats chan struct{}

func seatsOf(shard *job.Shard) seats {
	if shard.AtOnce == 0 {
		return nil
	}
	return make(seats, shard.AtOnce)
}

// take waits for a seat, and reports false when the slice stops before.
func (s seats) take(starting context.Context) bool {
	if s == nil {
		return true
	}
	select {
	case s <- struct{}{}:
		return starting.Err() == nil
	case <-starting.Done():
		return false
	}
}

func (s seats) give() {
	if s != nil {
		<-s
	}
}
