package dispatch

import (
	"context"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// window lets a run rest, or end, when its maintenance window has closed, and go on when the next one opens. Where no more comes
// the run ends. opened says that this pass is to store that, and that the next one sends what was held back: a message must not
// come before the run wants it.
func (s *supervision) window(ctx context.Context) (opened bool, err error) {
	working := s.run.Status == job.StatusRunning || s.run.Status == job.StatusBlocked
	if !s.run.Reopens(s.now) && !(working && s.run.WindowClosed(s.now)) {
		return false, nil
	}
	rec, err := s.d.record(ctx, s.run)
	if err != nil {
		return false, err
	}
	open, at, err := rec.Latest(s.run).Opening(s.now)
	if err != nil {
		return false, err
	}
	s.dirty = true
	window := rec.Latest(s.run).MaintenanceWindow
	switch {
	case working && window != nil && window.EndBehavior == schedule.Finish: // since an edit
		s.run.OpenUntil, s.run.Resend = time.Time{}, true
		return true, nil
	case open && working:
		s.run.OpenUntil, s.run.Resend = at, true
		return true, nil
	case open:
		return true, s.run.Reopen(s.now, at)
	case at.IsZero() || working && window.EndBehavior == schedule.Cancel:
		s.run.EndReason = job.EndWindowClosed
		return false, s.become(job.StatusStopping)
	case working:
		return false, s.run.Hold(job.Pause{Since: s.now, Until: at, Note: closedUntil(at)})
	}
	s.run.Pause.Until, s.run.Pause.Note = at, closedUntil(at)
	return false, nil
}

func closedUntil(at time.Time) string {
	return "the maintenance window is closed until " + at.UTC().Format(time.RFC3339)
}
