package api

import (
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// selection says how far the choice of devices has come. Members after DeviceCount are those of a continuous one.
type selection struct {
	State         string            `json:"state"`
	DeviceCount   int               `json:"deviceCount"`
	Mode          job.Selection     `json:"mode,omitempty"`
	Interval      schedule.Duration `json:"interval,omitzero"`
	RoundCount    int               `json:"roundCount,omitempty"` // complete ones
	LastRound     *roundView        `json:"lastRound,omitempty"`
	NextRoundTime instant           `json:"nextRoundTime,omitzero"`
	DeviceList    *listView         `json:"deviceList,omitempty"` // of a job whose runs may share one
}

type listView struct {
	RunID      string            `json:"runId"`
	ListedTime instant           `json:"listedTime"`
	Reused     bool              `json:"reused"`
	Age        schedule.Duration `json:"age,omitzero"`
}

func (s state) deviceList() *listView {
	l := s.run.List
	if l == nil {
		return nil
	}
	v := &listView{RunID: l.RunID, ListedTime: instant(l.ListedAt), Reused: l.Reused()}
	if v.Reused {
		v.Age = schedule.Duration(s.run.ListAge().Truncate(time.Second))
	}
	return v
}

type roundView struct {
	StartedTime  instant `json:"startedTime"`
	EndTime      instant `json:"endTime"`
	MatchedCount int     `json:"matchedCount"`
	AddedCount   int     `json:"addedCount"`
	RemovedCount int     `json:"removedCount"`
}

// The words of selection.state.
const (
	selectionPending  = "pending"
	selectionRunning  = "selecting"
	selectionWaiting  = "waiting"
	selectionComplete = "complete"
	selectionStopped  = "stopped"
)

func (s state) selection() selection {
	v := selection{State: s.selectionState(), DeviceCount: s.counts.Total(), Mode: s.rec.Selection, Interval: s.rec.SelectionInterval}
	v.DeviceList = s.deviceList()
	r := s.run.Rounds
	if r == nil {
		return v
	}
	v.RoundCount = r.Ended
	if r.Ended > 0 {
		v.LastRound = &roundView{
			StartedTime: instant(r.Last.BeganAt), EndTime: instant(r.Last.EndedAt), MatchedCount: r.Last.Matched, AddedCount: r.Last.Added,
			RemovedCount: r.Last.Removed,
		}
	}
	if v.State == selectionWaiting {
		v.NextRoundTime = instant(r.NextAt)
	}
	return v
}

func (s state) selectionState() string {
	switch {
	case s.run.EndReason == job.EndFinished:
		return selectionComplete
	case s.run.EndReason != "":
		return selectionStopped
	case s.run.StartedAt.IsZero():
		return selectionPending
	case s.run.PlanDone:
		return selectionComplete
	case s.run.Rounds.Waits():
		return selectionWaiting
	}
	return selectionRunning
}
