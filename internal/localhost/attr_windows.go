package localhost

import (
	"os"
	"syscall"
)

func processAttributes() *syscall.SysProcAttr { return nil }

// killGroup ends a handler. Windows has no process groups; children of the handler stay.
func killGroup(p *os.Process) error { return p.Kill() }
