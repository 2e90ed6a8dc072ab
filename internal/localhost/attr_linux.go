package localhost

import "syscall"

// processAttributes puts a handler into a process group of its own, and has the kernel kill it when the host dies,
// however that happens.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
