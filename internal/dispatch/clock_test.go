package dispatch

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// movedClock goes on like the real one, and by what a test adds.
type movedClock struct {
	mu   sync.Mutex
	base time.Time
	real time.Time // zero while the clock stands
}

func clockAt(t *testing.T, at string) *movedClock {
	t.Helper()
	base, err := time.Parse(time.RFC3339, at)
	require.NoError(t, err)
	return &movedClock{base: base, real: time.Now()}
}

func (c *movedClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real.IsZero() {
		return c.base
	}
	return c.base.Add(time.Since(c.real))
}

// goOn lets a clock that stands go on.
func (c *movedClock) goOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.real = time.Now()
}

func (c *movedClock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base = c.base.Add(d)
}
