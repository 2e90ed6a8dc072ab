// Command fleetjobs is the command line program: jobs on any deployment, and everything that a deployment needs on this
// machine. Package cli is the program; this is its shell: signals and the exit code.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/fleetjobs/fleetjobs/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	// The first signal asks to end in order; then the default is back, so that a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Standard(version).Run(ctx, os.Args[1:]))
}
