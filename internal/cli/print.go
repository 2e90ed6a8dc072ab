package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// printf writes a part of the result. A reader who has gone is not our trouble.
func (m *Main) printf(format string, args ...any) { _, _ = fmt.Fprintf(m.Stdout, format, args...) }

// printJSON writes one JSON value, indented for people, since programs do not mind.
func (m *Main) printJSON(raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(raw), "", "  "); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err := m.Stdout.Write(b.Bytes())
	return err
}

// printLine writes one JSON value on one line, for streams of them.
func (m *Main) printLine(raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err := m.Stdout.Write(b.Bytes())
	return err
}

func (m *Main) warn(warnings []string) {
	for _, w := range warnings {
		m.remark("warning: %s", plain(w))
	}
}

// table prints rows under a header, in columns. Cells hold no tabs: plain takes them out.
func (m *Main) table(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(m.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// plain makes text from elsewhere safe for a terminal: devices choose what they answer, and escape sequences could rewrite
// what stands on the screen.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// cutTo gives at most n characters of text.
func cutTo(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n-1]) + "…"
}

// count writes n with separators: 10,000.
func count(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func devices(n int) string {
	if n == 1 {
		return "1 device"
	}
	return count(n) + " devices"
}

// clock writes an instant for people, "-" for none.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// short writes a duration with as many digits as a reader wants: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(time.Second)/time.Second))
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
}
