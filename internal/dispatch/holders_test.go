package dispatch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// Slices that look while a query is under way share the next one: an answer that was begun before a slice had asked says nothing to it.
func TestLooksAtWhatOthersHaveAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l looks
		reads, gate := 0, make(chan error)
		read := func(context.Context) ([]tablestore.Holder, error) {
			reads++
			n := reads
			err := <-gate
			return make([]tablestore.Holder, n), err
		}
		var calls sync.WaitGroup
		var rows [7]int
		var errs [7]error
		look := func(slice int) {
			calls.Go(func() {
				found, err := l.at(t.Context(), "run", read)
				rows[slice], errs[slice] = len(found), err
			})
		}
		broken := errors.New("broken")
		look(0)
		synctest.Wait()
		for slice := 1; slice < 6; slice++ {
			look(slice)
		}
		synctest.Wait()
		gate <- nil
		synctest.Wait()
		look(6)
		synctest.Wait()
		gate <- broken
		gate <- nil
		calls.Wait()
		synctest.Wait()
		require.Equal(t, [7]int{1, 2, 2, 2, 2, 2, 3}, rows)
		require.Equal(t, [7]error{nil, broken, broken, broken, broken, broken, nil}, errs)
		require.Empty(t, l.runs)
	})
}
