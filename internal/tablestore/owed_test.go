package tablestore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// owed gives the runs with a delivery that is due some minutes after noon.
func (w *world) owed(minutes int) []string {
	w.t.Helper()
	runs, err := w.Owed(w.t.Context(), noon.Add(time.Duration(minutes)*time.Minute), 10)
	require.NoError(w.t, err)
	return runs
}

func TestAJobIsListedWhileDeliveriesArePending(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rec := newJob("j", 0)
	rec.Notifications = &job.Notifications{CallbackURL: "https://example.com/hook?sig=s3cr3t"}
	w.create(rec)
	require.Empty(t, w.owed(60))

	rec.Status, rec.StartedAt = job.StatusCompleted, noon
	rec.Owe(true, noon)
	require.NoError(t, w.SaveJob(t.Context(), rec, job.StatusScheduled))
	require.Equal(t, []string{"j.0"}, w.owed(1))

	rec.Delivery(job.EventStarted, job.ChannelEventGrid).State = job.DeliveryDelivered
	rec.Delivery(job.EventCompleted, job.ChannelEventGrid).State = job.DeliveryFailed
	rec.Delivery(job.EventCompleted, job.ChannelCallback).NextAt = noon.Add(30 * time.Minute)
	require.NoError(t, w.SaveJob(t.Context(), rec, job.StatusCompleted))
	require.Empty(t, w.owed(30))
	require.Equal(t, []string{"j.0"}, w.owed(31))

	rec.Delivery(job.EventCompleted, job.ChannelCallback).State = job.DeliveryDelivered
	require.NoError(t, w.SaveJob(t.Context(), rec, job.StatusCompleted))
	require.Empty(t, w.owed(60))
	require.NoError(t, w.SaveJob(t.Context(), rec, job.StatusCompleted), "there is no row to remove any more")
	require.NoError(t, w.DeleteJob(t.Context(), rec, noon))
}

func TestADeletedJobOwesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rec := w.create(newJob("j", 0))
	rec.Status = job.StatusCancelled
	rec.Owe(true, noon)
	require.NoError(t, w.SaveJob(t.Context(), rec, job.StatusScheduled))
	require.Equal(t, []string{"j.0"}, w.owed(1))
	require.NoError(t, w.DeleteJob(t.Context(), rec, noon))
	require.Empty(t, w.owed(60))
}

// A listing is copied more widely than a job: the query of its callback stays out of it.
func TestListsDoNotHoldTheQueryOfACallback(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rec := newJob("j", 0)
	rec.Notifications = &job.Notifications{CallbackURL: "https://example.com/hook?sig=s3cr3t"}
	w.create(rec)
	jobs, _, err := w.Jobs(t.Context(), tablestore.JobQuery{Max: 10})
	require.NoError(t, err)
	require.Equal(t, "https://example.com/hook?redacted", jobs[0].Notifications.CallbackURL)
	got, err := w.Job(t.Context(), "j")
	require.NoError(t, err)
	require.Equal(t, "https://example.com/hook?sig=s3cr3t", got.Notifications.CallbackURL)
}
