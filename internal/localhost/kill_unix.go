//go:build unix

package localhost

import (
	"os"
	"syscall"
)

// killGroup sends SIGKILL to a handler and everything that it started.
func killGroup(p *os.Process) error {
	return syscall.Kill(-p.Pid, syscall.SIGKILL)
}
