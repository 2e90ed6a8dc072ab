package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// place is where a selection goes on: after the token of a part, "" for the part's beginning.
type place struct {
	part  int
	token string
}

// stint says that pending devices up to the n-th belong to a part. What comes after the last stint belongs to the planner's part.
type stint struct{ n, part int }

// notYet says that the part that comes next is not to be selected before a time.
type notYet struct{ opensAt time.Time }

func (e *notYet) Error() string { return "the next part opens at " + e.opensAt.Format(time.RFC3339) }

// turnTo makes ready for devices of a part.
func (p *planner) turnTo(ctx context.Context, part int) error {
	if part == p.part {
		return nil
	}
	if err := p.resolve(ctx); err != nil { // suspects belong to the part before
		return err
	}
	p.stints = append(p.stints, stint{len(p.pending), p.part})
	p.part = part
	return nil
}

// postpone ends a stretch whose next part opens later. No message waits for that: the supervision sends one.
func (p *planner) postpone(ctx context.Context, opensAt time.Time) error {
	p.opensAt, p.pause = opensAt, opensAt.Sub(p.d.now())
	return p.quit(ctx)
}

// quit ends a stretch that nothing follows by itself.
func (p *planner) quit(ctx context.Context) error {
	if err := p.store(ctx, true, true); err != nil || !p.stopped {
		return err
	}
	return p.leave(ctx)
}

// openPart sends the message of a plan whose next part opens now.
func (s *supervision) openPart(ctx context.Context) error {
	at := s.plan.OpensAt
	if s.plan.Done || at.IsZero() || at.After(s.now) || s.plan.Claim.Live(s.now) {
		return nil
	}
	s.plan.OpensAt, s.plan.SendAt = time.Time{}, s.now
	if err := s.d.store.SavePlan(ctx, s.plan); err != nil {
		return err
	}
	return s.d.send(ctx, message{Kind: kindPlan, Run: s.run.ID}, 0)
}

// untilPart is how long a run whose devices have all ended needs no look: until its next part opens, 0 when it has work.
func (s *supervision) untilPart() time.Duration {
	if s.plan.Done || s.run.Enqueued < s.plan.Shards || len(s.open) > 0 {
		return 0
	}
	return max(0, s.plan.OpensAt.Sub(s.now))
}

// divide makes the parts of the run's target, unless it has none, or reads them. It reports whether devices can be selected.
func (p *planner) divide(ctx context.Context, r *reader) (bool, error) {
	if !r.target.rec.Divided() {
		return true, nil
	}
	parts, err := p.d.store.Parts(ctx, p.run.ID)
	if err != nil {
		return false, err
	}
	for !parts.Done {
		next, err := p.group(ctx, r, parts)
		switch {
		case iothub.KindOf(err) == iothub.Rejected && parts.Next != "" && p.plan.Restarts < maxRestarts: // the token is lost
			next = job.Parts{}
			p.plan.Restarts++
		case err != nil:
			return false, p.failed(ctx, err, r.missed)
		}
		parts = next
		if err := p.divided(ctx, parts); err != nil {
			return false, err
		}
		if err := p.look(ctx); err != nil {
			return false, err
		}
		if p.stopped {
			return false, p.quit(ctx)
		}
	}
	p.parts, r.target.parts, r.source = parts.List, parts.List, nil
	return true, nil
}

// divided stores parts and renews the claim.
func (p *planner) divided(ctx context.Context, parts job.Parts) error {
	if err := p.answered(ctx); err != nil {
		return err
	}
	plan := *p.plan
	plan.Claim.Until = p.d.now().Add(p.d.opts.Lease)
	if parts.Done {
		plan.Restarts = 0
	}
	if err := p.d.store.SaveParts(ctx, &plan, parts); err != nil {
		return err
	}
	p.plan = &plan
	return nil
}

// group reads a page of the values that divide the target, and makes the parts after the last.
func (p *planner) group(ctx context.Context, r *reader, parts job.Parts) (job.Parts, error) {
	rec := r.target.rec
	if path := rec.GroupPath(); path != "" {
		values, next, err := p.values(ctx, r, path, parts.Next)
		if err != nil {
			return parts, err
		}
		parts.Values = append(parts.Values, values...)
		if parts.Next = next; next != "" && len(parts.Values) <= job.MaxParts+1 {
			return parts, nil
		}
	}
	list, err := p.partsBy(rec, parts.Values)
	if err != nil {
		return parts, fmt.Errorf("%w: %w", errTarget, err)
	}
	return job.Parts{List: list, Done: true}, nil
}

// values reads the page after a continuation of the values that the target's devices have at a path, as JSON.
func (p *planner) values(ctx context.Context, r *reader, path, continuation string) (values []string, next string, err error) {
	if r.source, err = r.target.groups(path); err != nil {
		return nil, "", err
	}
	r.metered = true
	for {
		got, err := r.ask(ctx, continuation)
		wait, patient := r.patient(err)
		if !patient {
			return got.devices, got.next, err
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, "", err
		}
	}
}

// groups gives the different values of a path instead of devices, as JSON; "" is that of devices without one.
func (t *target) groups(path string) (source, error) {
	condition, err := t.condition("")
	if err != nil {
		return nil, err
	}
	text := condition.Query(path+" AS label, COUNT() AS devices") + " GROUP BY " + path
	if _, err := twinquery.ParseQuery(text); err != nil {
		return nil, fmt.Errorf("%w: grouping by %s: %w", errTarget, path, err)
	}
	return func(ctx context.Context, continuation string) (found, error) {
		page, err := t.d.lane(t.hub).hub.QueryPage(ctx, text, continuation, job.ShardSize)
		if err != nil {
			return found{}, err
		}
		values := make([]string, len(page.Rows))
		for i, raw := range page.Rows {
			var row struct {
				Label json.RawMessage `json:"label"`
			}
			if err := json.Unmarshal(raw, &row); err != nil {
				return found{}, fmt.Errorf("%w: reading a row of the grouped query: %w", errTarget, err)
			}
			values[i] = string(row.Label)
		}
		return found{devices: values, next: page.Continuation}, nil
	}, nil
}
