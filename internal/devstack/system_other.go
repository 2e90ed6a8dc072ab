//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package devstack

import (
	"context"
	"os/exec"
)

// lockFile locks nothing here: do not build the app twice at once.
func lockFile(context.Context, string) (unlock func(), err error) {
	return func() {}, nil
}

// interruptTogether leaves cmd as it is: the end of its context kills it.
func interruptTogether(*exec.Cmd) {}
