package job

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Pause is since when and why a run, or a job that has not begun, rests. By is zero where a rule of the job paused it.
type Pause struct {
	Since time.Time
	Note  string    `json:",omitempty"`
	By    Principal `json:",omitzero"`
	Until time.Time `json:",omitzero"` // when it ends by itself, zero where somebody has to resume it
}

// pauseSettles is how long after a pause calls may be under way: as long as the longest call may take, and a minute.
const pauseSettles = (MaxResponseSecs + MaxConnectSecs + 60) * time.Second

// Hold pauses the run: no new call starts. It is an error where the run cannot be paused.
func (r *Run) Hold(p Pause) error {
	if err := r.Become(StatusPaused, p.Since); err != nil {
		return err
	}
	r.Pause = &p
	return nil
}

// Resume lets a paused run go on, or wait for its start time as before.
func (r *Run) Resume(now time.Time) error {
	if r.StartedAt.IsZero() {
		return r.Become(StatusScheduled, now)
	}
	if err := r.Become(StatusRunning, now); err != nil {
		return err
	}
	r.Resend = true
	if r.Failure != nil && r.Failure.Abort != nil {
		r.forgive()
	}
	return nil
}

// Resting reports whether a run needs nobody to look after it at now: it is paused, its calls have ended, and its time has not; or
// it waits for its next round of selection.
func (r *Run) Resting(now time.Time) bool {
	if r.Status == StatusRunning {
		return r.restsTillNext(now)
	}
	if r.Status != StatusPaused || r.PastDeadline(now) || r.Reopens(now) {
		return false
	}
	return r.StartedAt.IsZero() || r.Pause != nil && now.Sub(r.Pause.Since) > pauseSettles
}

// DecodeNote reads the body of a request that may say why it is made: {"note": "..."}, or nothing. The error, if any, is Faults.
func DecodeNote(body []byte) (string, error) {
	if len(body) == 0 {
		return "", nil
	}
	if err := checkText(body); err != nil {
		return "", err
	}
	var faults Faults
	o := newObject("body", body, &faults)
	if o == nil {
		return "", faults
	}
	o.only("note")
	note := o.note("note")
	if len(faults) > 0 {
		return "", faults
	}
	return note, nil
}

// note reads a short text for people, "" when absent.
func (o *object) note(name string) string {
	text := o.text(name)
	if utf8.RuneCountInString(text) > MaxNoteChars {
		o.fault(name, o.members[name], fmt.Sprintf("must have at most %d characters", MaxNoteChars))
	}
	return text
}

// Note gives a text as a note, cut to what one may have.
func Note(text []byte) string {
	runes := []rune(string(text))
	return string(runes[:min(len(runes), MaxNoteChars)])
}
