package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
)

// complainEvery is the least time between two lines about failed exports.
const complainEvery = time.Minute

// complaints logs errors of the exporters, seldom: a collector that is away fails an export every few seconds.
type complaints struct {
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	last     time.Time
	failures int
}

// Handle implements [otel.ErrorHandler].
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures++
	now := c.now()
	if !c.last.IsZero() && now.Sub(c.last) < complainEvery {
		return
	}
	logline.Write(context.Background(), c.log, logline.TelemetryFailed{Err: err, Failures: c.failures})
	c.last, c.failures = now, 0
}
