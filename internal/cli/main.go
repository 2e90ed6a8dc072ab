package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// The exit codes of every command; `fleetjobs help exit-codes` explains them.
const (
	ExitOK          = 0   // done; for a job that was waited for: every device succeeded
	ExitFailure     = 1   // the command could not do what it should
	ExitUsage       = 2   // the command line or the job is malformed: repeating it will not help
	ExitOutcome     = 3   // the job ended, but not with success on every device
	ExitInterrupted = 130 // stopped by Ctrl-C before the end
)

// Main is the program and the outside world that it sees. Standard gives that of a process.
type Main struct {
	Stdin  io.Reader
	Stdout io.Writer // results
	Stderr io.Writer // errors and remarks
	Getenv func(string) string
	Dir    string // the current folder
	// Width tells the columns of the terminal behind Stdout, 0 when there is none.
	Width func() int
	Now   func() time.Time
	// Sleep waits for d or until ctx ends, whose error it then returns.
	Sleep func(ctx context.Context, d time.Duration) error
	// HTTP sends requests to the API; nil is the client's default.
	HTTP    *http.Client
	Version string
}

// Standard gives the program on this process's standard streams, environment and clock.
func Standard(version string) *Main {
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	return &Main{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Dir: dir, Version: version,
		Width: terminalWidth, Now: time.Now, Sleep: sleep,
	}
}

func terminalWidth() int {
	fd := int(os.Stdout.Fd())
	width, _, err := term.GetSize(fd)
	if err != nil || !term.IsTerminal(fd) {
		return 0
	}
	return width
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Run carries out the command line args, without the program's name, and returns the exit code. The end of ctx
// interrupts it.
func (m *Main) Run(ctx context.Context, args []string) int {
	err := m.dispatch(ctx, args)
	if err == nil {
		return ExitOK
	}
	if outcome, ok := errors.AsType[*outcomeError](err); ok {
		m.remark("%s", outcome.text)
		return ExitOutcome
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		m.remark("interrupted")
		return ExitInterrupted
	}
	m.remark("%s", err)
	usage, ok := errors.AsType[*usageError](err)
	switch {
	case ok && usage.hint != "":
		m.remark("%s", usage.hint)
		return ExitUsage
	case ok, badRequest(err):
		return ExitUsage
	}
	return ExitFailure
}

// remark writes a line that is not part of the result.
func (m *Main) remark(format string, args ...any) {
	_, _ = fmt.Fprintf(m.Stderr, "fleetjobs: %s\n", strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
}

// usageError is a fault of the command line, with a hint at what to try.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

func usagef(hint, format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...), hint: hint}
}

// outcomeError says that a job ended otherwise than with success on every device.
type outcomeError struct{ text string }

func (e *outcomeError) Error() string { return e.text }
