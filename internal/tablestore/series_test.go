package tablestore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// hourly stores a job that recurs each hour from noon on.
func (w *world) hourly(id string) *job.Record {
	w.t.Helper()
	rec := &job.Record{
		Definition: job.Definition{
			JobID: id, Type: job.TypeMethod, Method: &job.Method{Name: "m"}, QueryCondition: "*",
			Schedule: &schedule.Spec{
				Recurrence: schedule.Recurrence{Interval: schedule.Duration(time.Hour), TimeZone: "UTC"}, OverlapPolicy: schedule.AllowAll,
				CatchupWindow: schedule.DefaultCatchup,
			},
		},
		RunID: job.SeriesID(id, "ab"), Status: job.StatusScheduled, CreatedAt: noon, CreatedBy: job.Principal{Kind: job.PrincipalKey, ID: "k"},
	}
	require.NoError(w.t, rec.Recurs(noon.Add(time.Minute)))
	require.NoError(w.t, w.CreateJob(w.t.Context(), rec))
	return rec
}

// step has what came by a time decided and stored.
func (w *world) step(rec *job.Record, now time.Time) []*job.Record {
	w.t.Helper()
	from := rec.Status
	b, err := rec.Recur(now)
	require.NoError(w.t, err)
	require.NoError(w.t, w.SaveSeries(w.t.Context(), tablestore.SeriesWrite{Job: rec, From: from, Begun: b.Runs}))
	return b.Runs
}

func TestLifeOfARecurringJobInTheTable(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rec := w.hourly("j")
	require.Equal(t, []string{"j"}, w.due(noon.Add(2*time.Hour)))
	w.step(rec, noon.Add(3*time.Hour))
	require.Empty(t, w.due(noon.Add(3*time.Hour)), "the row has moved on")
	require.Equal(t, []string{"j"}, w.due(noon.Add(5*time.Hour)))
	require.Equal(t, []string{"j", "j", "j"}, w.active(), "one for each run")
	require.Equal(t, []string{"j"}, w.listed(tablestore.JobQuery{Status: job.StatusRunning, Max: 10}))

	run, err := w.Occurrence(t.Context(), "j.ab.2")
	require.NoError(t, err)
	require.Equal(t, "m", run.Method.Name, "it has the definition of its job")
	require.Equal(t, rec.CreatedBy, run.CreatedBy)
	require.Equal(t, rec.Rev, run.Occurrence.Job.Rev)
	require.Equal(t, noon.Add(2*time.Hour), run.Occurrence.Start.At)
	for _, stranger := range []string{"j.ab.4", "j.ab.0", "j.cd.1", "k.ab.1", "j.ab", "j"} {
		_, err := w.Occurrence(t.Context(), stranger)
		require.ErrorIs(t, err, job.ErrNotFound, stranger)
	}

	run.Status = job.StatusCompleted
	of := run.Occurrence.Job
	require.NoError(t, of.Followed(run, noon.Add(3*time.Hour)))
	require.NoError(t, w.SaveSeries(t.Context(), tablestore.SeriesWrite{Job: of, From: job.StatusRunning, Run: run}))
	require.Len(t, w.active(), 2)
	require.ErrorIs(t, w.SaveSeries(t.Context(), tablestore.SeriesWrite{Job: rec, From: rec.Status}), job.ErrConflict, "who read it before")

	page, next, err := w.Runs(t.Context(), tablestore.RunQuery{Job: of, Max: 2})
	require.NoError(t, err)
	require.Equal(t, []string{"j.ab.3", "j.ab.2"}, []string{page[0].RunID, page[1].RunID})
	page, next, err = w.Runs(t.Context(), tablestore.RunQuery{Job: of, Max: 2, From: next})
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Empty(t, next)
	for _, token := range []string{"x", "MTIz", "Ojo6Ojo6Ojo6Og"} {
		_, _, err = w.Runs(t.Context(), tablestore.RunQuery{Job: of, Max: 2, From: token})
		require.NotEmpty(t, job.FaultsOf(err), token)
	}
}

func TestTheRunsOfADeletedJobGoInSteps(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rec := w.hourly("j")
	w.hourly("other")
	w.step(rec, noon.Add(5*time.Hour))
	var gone []string
	for range 3 {
		some, err := w.ForgetRuns(t.Context(), rec.RunID, noon, 2)
		require.NoError(t, err)
		gone = append(gone, some...)
	}
	require.Equal(t, []string{"j.ab.5", "j.ab.4", "j.ab.3", "j.ab.2", "j.ab.1"}, gone)
	left, err := w.ForgetRuns(t.Context(), rec.RunID, noon, 2)
	require.NoError(t, err)
	require.Empty(t, left)
	for _, id := range gone {
		is, err := w.IsGone(t.Context(), id)
		require.NoError(t, err)
		require.True(t, is, "the sweep deletes the rows of %s", id)
	}
}

// A reply that is lost makes the SDK repeat the transaction, which then meets its own rows.
func TestASeriesIsStoredOnceThoughTheReplyIsLost(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rec := w.hourly("j")
	w.faults(storagefault.Rule{Operation: storagefault.TableBatch, Times: 1, Fault: storagefault.LostReply})
	runs := w.step(rec, noon.Add(2*time.Hour))
	require.Len(t, runs, 2)
	again := w.step(rec, noon.Add(3*time.Hour))
	require.Len(t, again, 1, "the revision is that of the row")
	require.Len(t, w.active(), 3)
	require.Equal(t, 3, rec.Series.Runs)
}
