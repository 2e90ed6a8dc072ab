// Package simclock owns the time of the IoT Hub simulator: a clock that may run faster than the real one, so that what takes
// a slow tier an hour can be watched in a minute. It owns nothing that happens at those times.
package simclock

import (
	"context"
	"math"
	"time"
)

// Clock gives hub time, which equals real time when the clock is made and runs Scale times as fast from then on.
type Clock struct {
	now   func() time.Time
	start time.Time
	scale float64
}

// New returns a clock. A scale of 0 means 1; now nil means time.Now.
func New(scale float64, now func() time.Time) *Clock {
	if scale <= 0 {
		scale = 1
	}
	if now == nil {
		now = time.Now
	}
	return &Clock{now: now, start: now(), scale: scale}
}

// Now returns hub time.
func (c *Clock) Now() time.Time {
	if c.scale == 1 {
		return c.now()
	}
	return c.start.Add(time.Duration(float64(c.now().Sub(c.start)) * c.scale))
}

// Real returns how long a time of the hub takes in reality.
func (c *Clock) Real(d time.Duration) time.Duration {
	real := float64(d) / c.scale
	if real >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(real)
}

// Scaled returns how much hub time passes in a real time.
func (c *Clock) Scaled(d time.Duration) time.Duration { return time.Duration(float64(d) * c.scale) }

// Sleep waits for a time of the hub and reports whether ctx did not end before.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(c.Real(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
