package azurite

import "syscall"

// dieWithParent makes the kernel kill the child when this process ends in any way, and keeps a terminal's Ctrl-C from
// the child, so that this process decides when it stops.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
