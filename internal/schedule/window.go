package schedule

import "time"

// Window is a compiled maintenance window, safe for concurrent use. One with DeviceZone that is not bound to a zone by In is open
// while it is open in any zone on earth.
type Window struct {
	starts *Schedule
	length time.Duration
	end    EndBehavior
}

// Span is a stretch of time in which a window is open, from From up to and without Until.
type Span struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// maxMerge bounds how many overlapping windows are joined to one. What is open for longer says so when it is asked again.
const maxMerge = 1000

// Compile makes the window ready. It fails only for one that DecodeWindow refuses.
func (w WindowSpec) Compile() (*Window, error) {
	starts, err := w.Recurrence.Compile()
	if err != nil {
		return nil, err
	}
	length := time.Duration(w.Duration)
	if starts.fleet {
		length += mostAhead + mostBehind
	}
	return &Window{starts: starts, length: length, end: w.EndBehavior}, nil
}

// In gives the window as a device in loc has it. Without DeviceZone that is the window itself.
func (w *Window) In(loc *time.Location) *Window {
	if !w.starts.fleet {
		return w
	}
	return &Window{starts: w.starts.In(loc), length: w.length - mostAhead - mostBehind, end: w.end}
}

// DeviceLocal reports whether each device has the window at its own local time.
func (w *Window) DeviceLocal() bool { return w.starts.DeviceLocal() }

// End gives the end behaviour.
func (w *Window) End() EndBehavior { return w.end }

// Open reports whether the window is open at now, and until when.
func (w *Window) Open(now time.Time) (bool, time.Time) {
	o, ok := w.starts.Next(now.Add(-w.length))
	if !ok || o.At.After(now) {
		return false, time.Time{}
	}
	return true, w.span(o).Until
}

// NextOpen gives the span that is open at now, from now on, or else the next one; false when there is none.
func (w *Window) NextOpen(now time.Time) (Span, bool) {
	if open, until := w.Open(now); open {
		return Span{From: now, Until: until}, true
	}
	o, ok := w.starts.Next(now)
	if !ok {
		return Span{}, false
	}
	return w.span(o), true
}

// NextN gives the spans from now on, at most n.
func (w *Window) NextN(now time.Time, n int) []Span {
	var list []Span
	for span, ok := w.NextOpen(now); ok && len(list) < n; span, ok = w.NextOpen(span.Until) {
		list = append(list, span)
	}
	return list
}

// span joins to the window that opens at o those that open before it has closed.
func (w *Window) span(o Occurrence) Span {
	span := Span{From: o.At, Until: o.At.Add(w.length)}
	for range maxMerge {
		next, ok := w.starts.Next(o.At)
		if !ok || next.At.After(span.Until) {
			break
		}
		o, span.Until = next, next.At.Add(w.length)
	}
	return span
}
