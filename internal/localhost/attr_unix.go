//go:build unix && !linux

package localhost

import "syscall"

// processAttributes puts a handler into a process group of its own. Only Linux can tie its life to the host's.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
