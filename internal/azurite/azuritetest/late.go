package azuritetest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

const (
	probeEvery = 50 * time.Millisecond
	inARow     = 8 // requests that wait for one another between a cause and its effect
)

// Late watches until the test ends how long a storage account takes to answer and how late timers fire in this process, and tells
// how late the effect of something may have been for that alone. Tests of promises in seconds allow for it: on a busy machine it
// is not the product that is late.
func Late(t testing.TB, connection string) func() time.Duration {
	t.Helper()
	client, err := aztables.NewServiceClientFromConnectionString(connection, nil)
	if err != nil {
		t.Fatalf("azuritetest: %v", err)
	}
	var longest, asked atomic.Int64 // asked is when the probe began that is under way, in nanoseconds since start
	start := time.Now()
	late := func() time.Duration {
		return max(time.Duration(longest.Load()), time.Since(start)-time.Duration(asked.Load())-probeEvery)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		stop()
		<-done
	})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			asked.Store(int64(time.Since(start)))
			_, _ = client.NewListTablesPager(nil).NextPage(ctx) // an error takes time too
			select {
			case <-time.After(probeEvery):
			case <-ctx.Done():
			}
			longest.Store(int64(late()))
		}
	}()
	return func() time.Duration { return inARow * late() }
}
