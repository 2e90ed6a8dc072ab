package api

import (
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// waitingView is why a run that is due has not begun.
type waitingView struct {
	Since  instant `json:"since"`
	Reason string  `json:"reason"`
}

func waitingOf(run *job.Run) *waitingView {
	w := run.Waiting
	if w == nil {
		return nil
	}
	return &waitingView{
		Since:  instant(w.Since),
		Reason: fmt.Sprintf("Waits for its turn since %s: %d runs go on, as many as this deployment allows.", instant(w.Since), w.Most),
	}
}
