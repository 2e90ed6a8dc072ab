package localhost

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// handlerOutput receives the lines that handlers print and passes them on, tagged with the level that the host
// gives them: stdout is information; stderr is an error, or a warning if the line says so.
type handlerOutput struct {
	mu             sync.Mutex
	writer         io.Writer // nil = the log
	log            *slog.Logger
	stderrIsErrors bool
}

// level classifies a line as the host does, depending on customHandler.description.useStdErrorStreamForErrorsOnly.
func (o *handlerOutput) level(line string, stderr bool) slog.Level {
	if !stderr {
		return slog.LevelInfo
	}
	lower := strings.ToLower(line)
	if o.stderrIsErrors {
		if strings.Contains(lower, "warn") {
			return slog.LevelWarn
		}
		return slog.LevelError
	}
	for _, word := range []string{"error", "fail", "severe", "unhandled exception"} {
		if strings.Contains(lower, word) {
			return slog.LevelError
		}
	}
	return slog.LevelInfo
}

func (o *handlerOutput) line(instance int, line string, stderr bool) {
	level := o.level(line, stderr)
	if o.writer == nil {
		o.log.Log(context.Background(), level, line, "category", "Host.Function.Console", "instance", instance)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	// A reader that went away must not take the handler's output, and with it the handler, down.
	_, _ = fmt.Fprintf(o.writer, "[handler %d %s] %s\n", instance, level, line)
}

// lineWriter cuts a stream into lines and remembers the last few.
type lineWriter struct {
	emit func(line string)

	mu      sync.Mutex
	partial []byte
	recent  []string
}

// Limits of a lineWriter: a longer line is cut in pieces.
const (
	maxLine     = 64 << 10
	recentLines = 3
)

// Write implements io.Writer; it never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partial = append(w.partial, p...)
	for {
		end := bytes.IndexByte(w.partial, '\n')
		if end < 0 && len(w.partial) < maxLine {
			return len(p), nil
		}
		if end < 0 {
			w.take(string(w.partial))
			w.partial = nil
			return len(p), nil
		}
		w.take(strings.TrimSuffix(string(w.partial[:end]), "\r"))
		w.partial = w.partial[end+1:]
	}
}

// flush hands on a last line without its end.
func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.partial) > 0 {
		w.take(string(w.partial))
		w.partial = nil
	}
}

func (w *lineWriter) take(line string) {
	w.recent = append(w.recent, line)
	w.recent = w.recent[max(0, len(w.recent)-recentLines):]
	w.emit(line)
}

// tail is the last few lines, joined.
func (w *lineWriter) tail() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.recent, "\n")
}
