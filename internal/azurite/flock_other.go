//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package azurite

import (
	"context"
	"os"
)

// lockFile does not lock here: processes that install at the same time do the work twice, and the later rename fails.
func lockFile(context.Context, string) (unlock func(), err error) { return func() {}, nil }

// tryLock never gets the lock here, so temporary folders of killed processes stay.
func tryLock(*os.File) (bool, error) { return false, nil }
