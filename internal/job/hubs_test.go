package job_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

func TestDecodeHubs(t *testing.T) {
	t.Parallel()
	const rest = `"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"}`
	for _, tt := range []struct {
		hubs, target string
		want         *job.Hubs
		fault        string
	}{
		{hubs: `"all"`, want: &job.Hubs{All: true}},
		{hubs: `["plant-b"]`, want: &job.Hubs{Names: []string{"plant-b"}}},
		{hubs: `["b","a"]`, want: &job.Hubs{Names: []string{"b", "a"}}},
		{hubs: `null`},
		{hubs: `["b"]`, target: `"deviceIds":["d"]`, want: &job.Hubs{Names: []string{"b"}}},
		{hubs: `[]`, fault: `hubs: []: must be "all", or an array of 1 to 20 names of hubs`},
		{hubs: `"plant-b"`, fault: `hubs: "plant-b": must be "all", or an array`},
		{hubs: `7`, fault: `hubs: 7: must be "all", or an array`},
		{hubs: `["a",7]`, fault: `must be "all", or an array`},
		{hubs: `["all"]`, fault: `hubs[0]: all: must be 1 to 50 lower-case letters`},
		{hubs: `["A"]`, fault: `hubs[0]: A: must be 1 to 50 lower-case letters`},
		{hubs: `["b-"]`, fault: `hubs[0]: b-: must be`},
		{hubs: `["b","b"]`, fault: `hubs[1]: b: repeats hubs[0]`},
		{hubs: `["` + strings.Repeat(`a","`, 20) + `b"]`, fault: `must be "all", or an array of 1 to 20 names of hubs`},
		{hubs: `"all"`, target: `"deviceIds":["d"]`, fault: `deviceIds: must not stand beside more than one hub`},
	} {
		target := tt.target
		if target == "" {
			target = `"queryCondition":"*"`
		}
		def, err := job.Decode([]byte(fmt.Sprintf(`{%s,%s,"hubs":%s}`, rest, target, tt.hubs)), noon)
		if tt.fault != "" {
			require.ErrorContains(t, err, tt.fault, tt.hubs)
			continue
		}
		require.NoError(t, err, tt.hubs)
		require.Equal(t, tt.want, def.Hubs)
		text, err := json.Marshal(def)
		require.NoError(t, err)
		if tt.want != nil {
			require.Contains(t, string(text), `"hubs":`+tt.hubs, "it is shown as it was given")
		}
	}
}

func TestTheIDOfARunAtAHub(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"j.0f3a9c", "j.0f3a9c.12"} {
		at := job.HubRunID(id, "plant-b")
		whole, hub := job.WholeRun(at)
		require.Equal(t, []string{id, "plant-b"}, []string{whole, hub})
		require.Equal(t, "j", job.OwnerOf(at))
		require.True(t, job.IsRun(at))
		_, _, one := job.NumberOf(at)
		require.False(t, one, "it is no run of a recurring job by itself")
		whole, hub = job.WholeRun(id)
		require.Equal(t, []string{id, ""}, []string{whole, hub})
	}
	require.False(t, job.IsRun("j"))
}

// hubsModel drives the runs at some hubs through their lives, in any order and with what people do to the whole, as passes see them.
type hubsModel struct {
	whole    *job.Run
	rec      *job.Record
	children []*job.Run
	now      time.Time
}

func (m *hubsModel) pass(t *rapid.T) {
	for i, child := range m.children {
		_, err := m.whole.HandOn(child, m.rec, m.now)
		require.NoError(t, err)
		m.whole.Hubs[i].Saw(child)
	}
	was := m.whole.Status
	require.NoError(t, m.whole.Gather(m.now), "from %s", was)
}

// check holds what is shown to what is.
func (m *hubsModel) check(t *rapid.T) {
	var sum job.Counts
	devices, ended := 0, true
	for _, child := range m.children {
		sum = sum.Plus(child.Counts())
		devices += child.Devices
		ended = ended && child.Status.Ended()
	}
	require.Equal(t, sum, m.whole.Counts(), "the counts of the whole are those of its hubs")
	require.Equal(t, devices, m.whole.Counts().Total())
	require.Equal(t, ended, m.whole.Status.Ended(), "it ends when it has ended everywhere")
}

func TestAWholeRunIsTheSumOfItsHubs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &hubsModel{
			whole: &job.Run{ID: "j.1", JobID: "j", Status: job.StatusRunning, StartedAt: noon}, now: noon,
			rec: &job.Record{RunID: "j.1"},
		}
		var names []string
		for i := range rapid.IntRange(1, 5).Draw(t, "hubs") {
			names = append(names, fmt.Sprintf("hub-%d", i+1))
		}
		m.whole.SpreadOver(names)
		for _, name := range names {
			child := m.whole.At(name, m.rec)
			require.Equal(t, m.whole.ID+"@"+name, child.ID)
			m.children = append(m.children, &child)
		}
		m.pass(t)
		m.check(t)
		one := func(t *rapid.T) *job.Run { return rapid.SampledFrom(m.children).Draw(t, "hub") }
		become := func(t *rapid.T, next job.Status, then func(*job.Run)) {
			if c := one(t); c.Status.CanBecome(next) && !c.StartedAt.IsZero() {
				require.NoError(t, c.Become(next, m.now))
				then(c)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin, or go on after a block": func(t *rapid.T) {
				if c := one(t); c.Status == job.StatusScheduled || c.Status == job.StatusBlocked {
					require.NoError(t, c.Become(job.StatusRunning, m.now))
				}
			},
			"select and end devices": func(t *rapid.T) {
				c := one(t)
				if c.Status.Ended() {
					return
				}
				c.Devices += rapid.IntRange(0, 50).Draw(t, "selected")
				if left := c.Devices - c.Closed.Total(); left > 0 {
					c.Closed = c.Closed.Plus(job.CountsOf(job.Succeeded, job.NoReason, rapid.IntRange(0, left).Draw(t, "ended")))
				}
			},
			"block": func(t *rapid.T) {
				become(t, job.StatusBlocked, func(c *job.Run) { c.Block = &job.Block{Reason: "refused", Since: m.now, ProbeAt: m.now} })
			},
			"a rule pauses": func(t *rapid.T) {
				become(t, job.StatusPaused, func(c *job.Run) { c.Pause = &job.Pause{Since: m.now, Note: "gate"} })
			},
			"abort": func(t *rapid.T) {
				become(t, job.StatusStopping, func(c *job.Run) { c.EndReason, c.FailureReason = job.EndAborted, "too many" })
			},
			"end": func(t *rapid.T) {
				if c := one(t); c.Status == job.StatusStopping {
					require.NoError(t, c.Become(job.StatusCancelled, m.now))
				} else if c.Status == job.StatusRunning && c.Closed.Total() == c.Devices {
					c.EndReason = job.EndFinished
					require.NoError(t, c.Become(job.StatusCompleted, m.now))
				}
			},
			"a person pauses": func(t *rapid.T) {
				if m.whole.Status.CanBecome(job.StatusPaused) {
					require.NoError(t, m.whole.Hold(job.Pause{Since: m.now, By: job.Principal{Kind: job.PrincipalKey}}))
					m.whole.Order++
					m.pass(t)
					for _, c := range m.children {
						require.True(t, c.Status == job.StatusPaused || c.Status == job.StatusStopping || c.Status.Ended(), "%s", c.Status)
					}
				}
			},
			"a person resumes": func(t *rapid.T) {
				if m.whole.Status == job.StatusPaused || m.whole.Status == job.StatusRunning && m.whole.RestsSomewhere() {
					require.NoError(t, m.whole.Resume(m.now))
					m.whole.Order++
					m.pass(t)
					for _, c := range m.children {
						require.NotEqual(t, job.StatusPaused, c.Status)
					}
				}
			},
			"a person cancels": func(t *rapid.T) {
				if m.whole.Status.CanBecome(job.StatusStopping) {
					m.whole.EndReason = job.EndCancelled
					require.NoError(t, m.whole.Become(job.StatusStopping, m.now))
				}
			},
			"": func(t *rapid.T) {
				m.now = m.now.Add(time.Second)
				if !m.whole.Status.Ended() {
					m.pass(t)
				}
				m.check(t)
			},
		})
	})
}

func TestHowAWholeRunEnds(t *testing.T) {
	t.Parallel()
	type at struct {
		status job.Status
		reason job.EndReason
		text   string
	}
	done, late := at{job.StatusCompleted, job.EndFinished, ""}, at{job.StatusCompleted, job.EndTimeLimit, ""}
	aborted, broken := at{job.StatusCancelled, job.EndAborted, "too many"}, at{job.StatusFailed, job.EndUnplannable, "no such field"}
	for _, tt := range []struct {
		hubs []at
		want at
	}{
		{[]at{done, done}, done},
		{[]at{done, late}, late},
		{[]at{late, done}, late},
		{[]at{late, aborted, done}, at{job.StatusCancelled, job.EndAborted, "b: too many"}},
		{[]at{aborted, broken}, at{job.StatusFailed, job.EndUnplannable, "a: too many; b: no such field"}},
		{[]at{broken, aborted}, at{job.StatusFailed, job.EndUnplannable, "a: no such field; b: too many"}},
	} {
		run := &job.Run{Status: job.StatusRunning, StartedAt: noon}
		run.SpreadOver([]string{"a", "b", "c"}[:len(tt.hubs)])
		for i, h := range tt.hubs {
			run.Hubs[i].Status, run.Hubs[i].EndReason, run.Hubs[i].FailureReason = h.status, h.reason, h.text
		}
		require.NoError(t, run.Gather(noon))
		require.Equal(t, tt.want, at{run.Status, run.EndReason, run.FailureReason})
	}
}
