package devstack

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// tailLines is how many lines of the handlers an error of the start repeats.
const tailLines = 10

// tail passes lines on and remembers the last ones, which say why a handler did not start.
type tail struct {
	to io.Writer

	mu    sync.Mutex
	lines []string
}

// Write implements [io.Writer].
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	for line := range bytes.Lines(p) {
		t.lines = append(t.lines, "  "+string(bytes.TrimRight(line, "\n")))
	}
	t.lines = t.lines[max(0, len(t.lines)-tailLines):]
	t.mu.Unlock()
	return t.to.Write(p)
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
