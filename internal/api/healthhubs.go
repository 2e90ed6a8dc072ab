package api

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// NamedHub is a hub beside the default one.
type NamedHub struct {
	Name string
	Hub  Hub
}

// hubCheck remembers what a hub last answered.
type hubCheck struct {
	name string
	hub  Hub

	turn    chan struct{} // holds one token: who has it may ask the hub
	checked time.Time
	err     error
}

func hubChecks(o Health) []*hubCheck {
	checks := []*hubCheck{{name: o.HubName, hub: o.Hub, turn: make(chan struct{}, 1)}}
	for _, further := range o.Further {
		checks = append(checks, &hubCheck{name: further.Name, hub: further.Hub, turn: make(chan struct{}, 1)})
	}
	return checks
}

// allHubs checks every hub. The error is of those that are down, not of those that are busy.
func (h *health) allHubs(ctx context.Context, v *healthView) error {
	views, errs := make([]hubView, len(h.hubs)), make([]error, len(h.hubs))
	var checks sync.WaitGroup
	for i, c := range h.hubs {
		checks.Go(func() {
			if views[i], errs[i] = h.hub(ctx, c); views[i].State == partThrottled {
				errs[i] = nil
			}
		})
	}
	checks.Wait()
	if v.Hub = views[0]; len(views) > 1 {
		v.Hubs = views
		for i, c := range h.hubs {
			v.Hubs[i].Hub = c.name
		}
	}
	return errors.Join(errs...)
}

// hub gives what a hub answered at most HubCheckAge ago. Callers who come while it is asked wait for that answer.
func (h *health) hub(ctx context.Context, c *hubCheck) (hubView, error) {
	about := "checking the hub"
	if len(h.hubs) > 1 {
		about += " " + c.name
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return hubView{State: partUnreachable, Checked: instant(h.now())}, fmt.Errorf("%s: %w", about, ctx.Err())
	}
	if c.checked.IsZero() || h.now().Sub(c.checked) >= h.HubCheckAge {
		_, err := c.hub.QueryPage(ctx, hubProbe, "", 1)
		if errors.Is(ctx.Err(), context.Canceled) {
			return hubView{}, ctx.Err() // the caller has gone, which says nothing about the hub
		}
		c.checked, c.err = h.now(), err
	}
	v := hubView{State: hubState(c.err), Checked: instant(c.checked)}
	if c.err != nil {
		return v, fmt.Errorf("%s: %w", about, c.err)
	}
	return v, nil
}
