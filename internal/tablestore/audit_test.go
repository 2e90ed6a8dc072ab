package tablestore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// did is an entry for a job of newJob.
func did(rec *job.Record, action job.Action, at time.Time) job.Change {
	by := job.Principal{Kind: job.PrincipalIdentity, ID: "oid-1", Name: "Éva", Provider: "aad"}
	return rec.Change(action, job.Caller{Principal: by, UserAgent: "test"}, at)
}

// trail gives the entries of a job, "" for all, as "action run", newest first, read in pages.
func (w *world) trail(jobID string, pageSize int) []string {
	w.t.Helper()
	var lines []string
	q := tablestore.ChangeQuery{JobID: jobID, Max: pageSize}
	for {
		page, next, err := w.Changes(w.t.Context(), q)
		require.NoError(w.t, err)
		for _, c := range page {
			lines = append(lines, string(c.Action)+" "+c.RunID)
		}
		if next == "" {
			return lines
		}
		require.Len(w.t, page, pageSize)
		q.From = next
	}
}

func TestAnEntryIsWrittenWithItsChange(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rec := newJob("j", 0)
	created := did(rec, job.ActionCreated, noon)
	created.To = job.StatusScheduled
	require.NoError(t, w.CreateJob(t.Context(), rec, created))
	again := newJob("j", 1)
	require.ErrorIs(t, w.CreateJob(t.Context(), again, did(again, job.ActionCreated, noon)), job.ErrExists)
	stale := *rec
	rec.Status = job.StatusCancelled
	cancelled := did(rec, job.ActionCancelled, noon.Add(time.Second))
	require.NoError(t, w.SaveJob(t.Context(), rec, job.StatusScheduled, cancelled))
	require.ErrorIs(t, w.SaveJob(t.Context(), &stale, job.StatusScheduled, did(rec, job.ActionCancelled, noon.Add(2*time.Second))), job.ErrConflict)
	require.NoError(t, w.DeleteJob(t.Context(), rec, noon.Add(3*time.Second), did(rec, job.ActionDeleted, noon.Add(3*time.Second))))

	want := []string{"deleted j.0", "cancelled j.0", "created j.0"}
	require.Equal(t, want, w.trail("j", 2))
	require.Equal(t, want, w.trail("", 1), "what was refused has no entry")
	page, _, err := w.Changes(t.Context(), tablestore.ChangeQuery{JobID: "j", Max: 10})
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(&created, page[2]))
}

// A page costs one request, however long the history is and wherever the page begins.
func TestAPageOfTheTrailIsOneRequest(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rec := newJob("j", 0)
	require.NoError(t, w.CreateJob(t.Context(), rec))
	for part := range 30 {
		var changes []job.Change
		for i := range 40 {
			changes = append(changes, did(rec, job.ActionCreated, noon.Add(time.Duration(part*40+i))))
		}
		require.NoError(t, w.SaveJob(t.Context(), rec, rec.Status, changes...))
	}
	q := tablestore.ChangeQuery{Max: 500}
	for _, more := range []bool{true, true, false} {
		requests := w.requests(func() {
			page, next, err := w.Changes(t.Context(), q)
			require.NoError(t, err)
			require.NotEmpty(t, page)
			require.Equal(t, more, next != "")
			q.From = next
		})
		require.Equal(t, map[string]int{storagefault.TableQuery: 1}, requests)
	}
}

func TestTrailsOfJobsDoNotMix(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i, id := range []string{"a", "a-b", "a1", "b"} {
		rec := newJob(id, 0)
		require.NoError(t, w.CreateJob(t.Context(), rec, did(rec, job.ActionCreated, noon.Add(time.Duration(i)))))
	}
	require.Equal(t, []string{"created a.0"}, w.trail("a", 10))
	require.Equal(t, []string{"created a-b.0"}, w.trail("a-b", 10))
	require.Equal(t, []string{"created b.0", "created a1.0", "created a-b.0", "created a.0"}, w.trail("", 3))
}

// The SDK sends a request again whose reply was lost; the second one is refused, and the entry stands once.
func TestALostReplyWritesNoSecondEntry(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(context.Context, *tablestore.Store, *job.Record) error{
		"create": func(ctx context.Context, s *tablestore.Store, _ *job.Record) error {
			rec := newJob("new", 0)
			return s.CreateJob(ctx, rec, did(rec, job.ActionCreated, noon))
		},
		"save": func(ctx context.Context, s *tablestore.Store, rec *job.Record) error {
			rec.Status = job.StatusCancelled
			return s.SaveJob(ctx, rec, job.StatusScheduled, did(rec, job.ActionCancelled, noon))
		},
		"delete": func(ctx context.Context, s *tablestore.Store, rec *job.Record) error {
			return s.DeleteJob(ctx, rec, noon, did(rec, job.ActionDeleted, noon))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			rec := newJob("j", 0)
			require.NoError(t, w.CreateJob(t.Context(), rec))
			w.loseReply(storagefault.TableBatch)
			require.NoError(t, write(t.Context(), w.Store, rec))
			require.Len(t, w.trail("", 10), 1)
		})
	}
}

func TestTheTrailOfADeletedJobIsForgotten(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for life := range 2 {
		rec := newJob("j", life)
		rec.RunID = fmt.Sprintf("j.%d", life)
		at := noon.Add(time.Duration(life) * time.Hour)
		require.NoError(t, w.CreateJob(t.Context(), rec, did(rec, job.ActionCreated, at)))
		if life == 0 {
			atHub := did(rec, job.ActionPaused, at.Add(time.Second))
			atHub.RunID = job.HubRunID(rec.RunID, "plant-a")
			require.NoError(t, w.DeleteJob(t.Context(), w.become("j", job.StatusCancelled), at, did(rec, job.ActionDeleted, at), atHub))
		}
	}
	due := noon.Add(tablestore.AuditRetention)
	require.NoError(t, w.ForgetChanges(t.Context(), due, 10))
	require.Len(t, w.trail("j", 10), 4, "not yet")
	require.NoError(t, w.ForgetChanges(t.Context(), due.Add(time.Millisecond), 10))
	require.Equal(t, []string{"created j.1"}, w.trail("j", 10), "the second job of that id still exists")
	require.Equal(t, []string{"created j.1"}, w.trail("", 10))
	for _, key := range w.rows("fleetjobsjobs") {
		require.NotContains(t, key, "forget:")
	}
}

// However long a trail is, one call deletes no more than a transaction.
func TestALongTrailIsForgottenInSteps(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rec := newJob("j", 0)
	require.NoError(t, w.CreateJob(t.Context(), rec))
	for part := range 3 {
		var changes []job.Change
		for i := range 40 {
			changes = append(changes, did(rec, job.ActionCreated, noon.Add(time.Duration(part*40+i))))
		}
		require.NoError(t, w.SaveJob(t.Context(), rec, rec.Status, changes...))
	}
	require.NoError(t, w.DeleteJob(t.Context(), w.become("j", job.StatusCancelled), noon))
	for _, left := range []int{71, 22, 0} {
		require.NoError(t, w.ForgetChanges(t.Context(), noon.Add(2*tablestore.AuditRetention), 10))
		require.Len(t, w.trail("j", 200), left)
	}
}
