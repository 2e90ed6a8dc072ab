package dispatch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/notify"
)

// deafQueue takes no message.
type deafQueue struct{}

var errDeaf = errors.New("the queue takes nothing")

func (deafQueue) Send(context.Context, []byte, time.Duration) error { return errDeaf }

// What /api/health/details shows is that ticks come to their end, whatever becomes of single jobs in them.
func TestATickThatComesToItsEndIsNoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Tick: time.Second})
	store := w.current().d.store
	last, err := store.LastTick(t.Context())
	require.NoError(t, err)
	require.Zero(t, last)

	began := time.Now().Add(-time.Millisecond)
	require.NoError(t, w.current().d.Tick(t.Context()))
	last, err = store.LastTick(t.Context())
	require.NoError(t, err)
	require.WithinRange(t, last, began, time.Now())

	w.create(fmt.Sprintf(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"x"},"queryCondition":"*","startTime":%q}`,
		time.Now().Add(30*time.Minute).Format(time.RFC3339)))
	deaf := New(store, deafQueue{}, w.hub, Options{Tick: time.Hour}) // for which the job is due
	require.ErrorIs(t, deaf.Tick(t.Context()), errDeaf)
	next, err := store.LastTick(t.Context())
	require.NoError(t, err)
	require.True(t, next.After(last), "a faulty job does not make the timer look dead")
}

func TestATickThatBreaksOffIsNotNoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	w.current().left.Store(3) // dies at its third request
	require.Error(t, w.current().d.Tick(t.Context()))
	last, err := w.boot(0).d.store.LastTick(t.Context())
	require.NoError(t, err)
	require.Zero(t, last)
}

// An idle deployment pays for its ticks. internal/price and its table in docs/deploy.md count with these requests.
func TestWhatAnIdleTickAsksOfStorage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Notify: Notify{Sender: notify.New(notify.Options{})}})
	p := w.current()
	p.left.Store(100)
	require.NoError(t, p.d.Tick(t.Context()))
	require.EqualValues(t, 6, 100-p.left.Load())
}
