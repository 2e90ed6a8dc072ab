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
	inARow     = 4 // requests that wait for one another between a cause and its effect
)

// Late watches until the test ends how long a storage account takes to answer, and tells how late the effect of something may
// have been for that alone. Tests of promises in seconds allow for it: on a busy machine it is not the product that is late.
func Late(t testing.TB, connection string) func() time.Duration {
	t.Helper()
	client, err := aztables.NewServiceClientFromConnectionString(connection, nil)
	if err != nil {
		t.Fatalf("azuritetest: %v", err)
	}
	var longest atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		stop()
		<-done
	})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			began := time.Now()
			if _, err := client.NewListTablesPager(nil).NextPage(ctx); err == nil {
				longest.Store(max(longest.Load(), int64(time.Since(began))))
			}
			select {
			case <-time.After(probeEvery):
			case <-ctx.Done():
			}
		}
	}()
	return func() time.Duration { return inARow * time.Duration(longest.Load()) }
}
