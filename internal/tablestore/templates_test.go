package tablestore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// TestATemplateIsComparedWithWhatWasRead: of two who change it, one is told; and a lost reply is no change by somebody else.
func TestATemplateIsComparedWithWhatWasRead(t *testing.T) {
	t.Parallel()
	w := setup(t)
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
	one := &job.Template{ID: "lock", Version: 1, Job: []byte(`{"a":1}`), Key: "template.lock.abc"}
	w.loseReply(storagefault.TableBatch)
	require.NoError(t, w.PutTemplate(t.Context(), one, one.Change(job.ActionTemplateStored, job.Caller{}, at(0))))
	other := &job.Template{ID: "lock", Version: 1, Job: []byte(`{}`), Key: "template.lock.def"}
	require.ErrorIs(t, w.PutTemplate(t.Context(), other, other.Change(job.ActionTemplateStored, job.Caller{}, at(0))), job.ErrExists)

	mine, err := w.Template(t.Context(), "lock")
	require.NoError(t, err)
	theirs := *mine
	mine.Version = 2
	w.loseReply(storagefault.TableBatch)
	require.NoError(t, w.PutTemplate(t.Context(), mine, mine.Change(job.ActionTemplateStored, job.Caller{}, at(1))))
	require.ErrorIs(t, w.PutTemplate(t.Context(), &theirs, theirs.Change(job.ActionTemplateStored, job.Caller{}, at(2))), job.ErrConflict)
	require.ErrorIs(t, w.DeleteTemplate(t.Context(), &theirs, theirs.Change(job.ActionTemplateDeleted, job.Caller{}, at(2))), job.ErrConflict)

	w.loseReply(storagefault.TableBatch)
	require.NoError(t, w.DeleteTemplate(t.Context(), mine, mine.Change(job.ActionTemplateDeleted, job.Caller{}, at(3))))
	_, err = w.Template(t.Context(), "lock")
	require.ErrorIs(t, err, job.ErrNotFound)
	_, err = w.Template(t.Context(), "no/such")
	require.ErrorIs(t, err, job.ErrNotFound)
	require.Equal(t, []string{"templateDeleted template.lock.abc", "templateStored template.lock.abc", "templateStored template.lock.abc"}, w.trail("", 10))

	require.NoError(t, w.ForgetChanges(t.Context(), at(3).Add(tablestore.AuditRetention), 10))
	require.Len(t, w.trail("", 10), 3, "not yet")
	require.NoError(t, w.ForgetChanges(t.Context(), at(4).Add(tablestore.AuditRetention), 10))
	require.Empty(t, w.trail("", 10))
	require.Empty(t, w.rows("fleetjobsjobs"), "nothing is left of it")
}
