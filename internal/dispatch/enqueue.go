package dispatch

import (
	"context"

	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// enqueue opens planned shards up to the horizon, in number and in the hub's allowance, and sends their messages.
func (s *supervision) enqueue(ctx context.Context) error {
	if s.run.Rollout != nil {
		return s.rollOut(ctx)
	}
	horizon := max(s.d.opts.OpenShards, 3*len(s.done))
	room := min(horizon-len(s.open)+s.asleep(), s.plan.Shards-s.run.Enqueued)
	if room <= 0 || s.d.fed(s.run) {
		return s.giveBackKept(ctx)
	}
	for room > 0 {
		from := s.run.Enqueued
		sizes, ended, err := s.d.store.ShardSizes(ctx, s.run.ID, from, from+min(room, tablestore.MaxPerWrite))
		if err != nil {
			return err
		}
		op, err := s.d.operation(ctx, s.run)
		if err != nil {
			return err
		}
		g, err := s.reserve(ctx, op, left(sizes, ended))
		if err != nil || len(g.slots) == 0 {
			return err
		}
		opened, messages := make([]tablestore.Underway, len(g.slots)), make([]message, len(g.slots))
		for i, slot := range g.slots {
			opened[i] = tablestore.Underway{Number: from + i, Devices: sizes[i], CheckAt: latest(s.now, slot.At).Add(s.d.opts.Lease)}
			opened[i].Counts = s.run.HandOut(sizes[i], ended[i])
			messages[i] = message{Run: s.run.ID, Shard: from + i}.in(slot)
		}
		s.run.Enqueued += len(opened)
		if err := s.grow(ctx, opened, g); err != nil {
			return err
		}
		s.dirty = false
		if err := s.d.sendShards(ctx, messages); err != nil {
			return err
		}
		room -= len(sizes)
		if len(opened) < len(sizes) {
			break
		}
	}
	return s.offer(ctx)
}
