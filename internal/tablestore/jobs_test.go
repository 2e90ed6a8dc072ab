package tablestore_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

func TestAJobIsReadAsItWasCreated(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rec := newJob("j", 0)
	rec.Warnings, rec.DeviceCount = []string{"queryCondition: 1:1: ünknown"}, 3
	rec.Counts = job.CountsOf(job.Failed, job.DeviceOffline, 3)
	w.create(rec)
	require.NotEmpty(t, rec.Rev)
	got, err := w.Job(t.Context(), "j")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(rec, got))
}

func TestAnIdIsTakenOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.create(newJob("j", 0))
	other := newJob("j", 1)
	other.Hash = "other"
	require.ErrorIs(t, w.CreateJob(t.Context(), other), job.ErrExists)
	got, err := w.Job(t.Context(), "j")
	require.NoError(t, err)
	require.Equal(t, "hash of j", got.Hash)
	require.Equal(t, []string{"j"}, w.listed(tablestore.JobQuery{Max: 10}), "the refused job left nothing behind")
}

func TestIdsThatNoJobCanHaveAreNotFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, id := range []string{"none", "", "a/b", `a\b`, "a#b", "a?b", "it's", "a\x00b", "ü\xff", strings.Repeat("x", 2000)} {
		_, err := w.Job(t.Context(), id)
		require.ErrorIs(t, err, job.ErrNotFound, "%q", id)
	}
}

func TestAnIdempotencyKeyIsTakenOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := newJob("a", 0)
	first.KeyHash = "k"
	w.create(first)
	second := newJob("b", 1)
	second.KeyHash = "k"
	require.ErrorIs(t, w.CreateJob(t.Context(), second), job.ErrExists)
	_, err := w.Job(t.Context(), "b")
	require.ErrorIs(t, err, job.ErrNotFound, "all of a creation or nothing")
	id, err := w.JobByKey(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, "a", id)
	_, err = w.JobByKey(t.Context(), "other")
	require.ErrorIs(t, err, job.ErrNotFound)

	w.become("a", job.StatusCancelled)
	ended, err := w.Job(t.Context(), "a")
	require.NoError(t, err)
	require.NoError(t, w.DeleteJob(t.Context(), ended, noon))
	w.create(second)
	id, err = w.JobByKey(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, "b", id, "a deleted job gives its key free")
}

func TestManyProcessesCreateOneJobOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	won := make([]error, 8)
	var all sync.WaitGroup
	for i := range won {
		all.Go(func() { won[i] = w.CreateJob(t.Context(), newJob("j", i)) })
	}
	all.Wait()
	created := 0
	for _, err := range won {
		if err == nil {
			created++
			continue
		}
		require.ErrorIs(t, err, job.ErrExists)
	}
	require.Equal(t, 1, created)
	require.Equal(t, []string{"j"}, w.listed(tablestore.JobQuery{Max: 10}))
}

func TestDueJobsComeEarliestFirst(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for id, start := range map[string]time.Time{
		"noon":          noon,
		"a-bit-later":   noon.Add(time.Millisecond),
		"yesterday":     noon.AddDate(0, 0, -1),
		"in-cet":        noon.Add(-time.Minute).In(time.FixedZone("CET", 3600)),
		"next-century":  noon.AddDate(100, 0, 0),
		"Before-Christ": time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC),
	} {
		rec := newJob(id, 0)
		rec.StartTime = start
		w.create(rec)
	}
	require.Equal(t, []string{"Before-Christ", "yesterday", "in-cet"}, w.due(noon), "the end is not part of the range")
	require.Equal(t, []string{"Before-Christ", "yesterday", "in-cet", "noon"}, w.due(noon.Add(time.Millisecond)))
	require.Len(t, w.due(noon.AddDate(101, 0, 0)), 6)
}

// The life of a job, and in which lists it stands on the way.
func TestListsKeepInStepWithAJob(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.create(newJob("other", 1))
	stands := func(status job.Status, due, active bool) {
		t.Helper()
		require.Equal(t, due, len(w.due(noon.Add(1e9))) == 2, "due")
		require.Equal(t, active, len(w.active()) == 1, "active")
		require.Equal(t, []string{"other", "j"}, w.listed(tablestore.JobQuery{Max: 10}))
		for _, s := range job.Statuses() {
			var want []string
			if s == job.StatusScheduled {
				want = append(want, "other")
			}
			if s == status {
				want = append(want, "j")
			}
			require.Equal(t, want, w.listed(tablestore.JobQuery{Status: s, Max: 10}), "listed as %s", s)
		}
	}
	rec := w.create(newJob("j", 0))
	stands(job.StatusScheduled, true, false)
	require.NoError(t, w.Activate(t.Context(), rec))
	require.Equal(t, []string{"j"}, w.active())
	stands(job.StatusScheduled, false, true)
	for _, next := range []job.Status{job.StatusRunning, job.StatusBlocked, job.StatusRunning, job.StatusStopping} {
		w.become("j", next)
		stands(next, false, true)
	}
	rec = w.become("j", job.StatusCompleted)
	stands(job.StatusCompleted, false, false)
	require.NoError(t, w.DeleteJob(t.Context(), rec, noon))
	require.Equal(t, []string{"other"}, w.listed(tablestore.JobQuery{Max: 10}))
	require.Empty(t, w.listed(tablestore.JobQuery{Status: job.StatusCompleted, Max: 10}))
	w.requireNoRowsOf("j")
}

func TestAJobThatEndsBeforeItsRunBeginsIsNeitherDueNorActive(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.create(newJob("waiting", 0))
	w.become("waiting", job.StatusCancelled)
	require.Empty(t, w.due(noon.AddDate(1, 0, 0)))
	rec := w.create(newJob("handed-over", 0))
	require.NoError(t, w.Activate(t.Context(), rec))
	w.become("handed-over", job.StatusCancelled)
	require.Empty(t, w.due(noon.AddDate(1, 0, 0)))
	require.Empty(t, w.active())
}

// A list shows the state that the last change left, and not the bodies of the operations.
func TestListsShowJobsWithoutTheirBodies(t *testing.T) {
	t.Parallel()
	w := setup(t)
	method := newJob("method", 0)
	method.Method.Payload = json.RawMessage(`{"big":true}`)
	w.create(method)
	twin := newJob("twin", 1)
	twin.Type, twin.Method, twin.UpdateTwin = job.TypeTwin, nil, &job.TwinUpdate{Tags: json.RawMessage(`{"a":1}`)}
	w.create(twin)
	rec := w.become("method", job.StatusRunning)
	rec.Status, rec.Devices, rec.Counts = job.StatusBlocked, 7, job.CountsOf(job.Succeeded, job.NoReason, 7)
	require.NoError(t, w.SaveJob(t.Context(), rec, job.StatusRunning))

	page, next, err := w.Jobs(t.Context(), tablestore.JobQuery{Max: 5})
	require.NoError(t, err)
	require.Empty(t, next)
	rec.Method.Payload, twin.UpdateTwin = nil, nil
	require.Empty(t, cmp.Diff([]*job.Record{twin, rec}, page, cmpopts.IgnoreFields(job.Record{}, "Rev")))

	full, err := w.Job(t.Context(), "method")
	require.NoError(t, err)
	require.JSONEq(t, `{"big":true}`, string(full.Method.Payload), "the job itself keeps its body")

	require.Equal(t, []string{"twin"}, w.listed(tablestore.JobQuery{Type: job.TypeTwin, Max: 1}))
	require.Equal(t, []string{"method"}, w.listed(tablestore.JobQuery{Type: job.TypeMethod, Status: job.StatusBlocked, Max: 1}))
	require.Empty(t, w.listed(tablestore.JobQuery{Type: "it's' or Type ne '", Max: 1}), "a type is text, not OData")
	require.Empty(t, w.listed(tablestore.JobQuery{Status: "' or RowKey ge '", Max: 1}), "a status is text, not OData")
}

func TestListsAreReadInPagesNewestFirst(t *testing.T) {
	t.Parallel()
	w := setup(t)
	want := make([]string, 7)
	for i := range want {
		id := string(rune('a' + i))
		w.create(newJob(id, i/2)) // two in the same second
		want[len(want)-1-i] = id
	}
	// Of jobs of the same millisecond the order is that of their ids.
	want = []string{"g", "e", "f", "c", "d", "a", "b"}
	for limit := 1; limit <= 8; limit++ {
		require.Equal(t, want, w.listed(tablestore.JobQuery{Max: limit}))
		require.Equal(t, want, w.listed(tablestore.JobQuery{Status: job.StatusScheduled, Max: limit}))
	}

	first, next, err := w.Jobs(t.Context(), tablestore.JobQuery{Max: 2})
	require.NoError(t, err)
	require.Equal(t, "g", first[0].JobID)
	w.create(newJob("z", 100))
	w.deleteNow("f")
	rest, _, err := w.Jobs(t.Context(), tablestore.JobQuery{Max: 2, From: next})
	require.NoError(t, err)
	require.Equal(t, "c", rest[0].JobID, "a page goes on where the one before ended, whatever came or went meanwhile")
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.create(newJob("j", 0))
	encoded := func(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }
	for _, token := range []string{
		"x", "%%%", encoded("j"), encoded("0000000000000:"), encoded("0000000000000:j' or RowKey ge '"),
		encoded("000000000000x:j"), encoded("00000000000000:j"), encoded("../job:j"), encoded("0000000000000:j/k"),
	} {
		_, _, err := w.Jobs(t.Context(), tablestore.JobQuery{Max: 1, From: token})
		requireFault(t, err, "continuationToken", token)
	}
	page, _, err := w.Jobs(t.Context(), tablestore.JobQuery{Max: 1, From: encoded("0000000000000:j")})
	require.NoError(t, err)
	require.Len(t, page, 1, "a token of the right form can do no more than choose a page")
}

func TestAStaleJobIsNotStored(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rec := w.create(newJob("j", 0))
	stale := *rec
	w.become("j", job.StatusCancelled)
	stale.Status = job.StatusRunning
	require.ErrorIs(t, w.SaveJob(t.Context(), &stale, job.StatusScheduled), job.ErrConflict)
	again := *rec
	require.ErrorIs(t, w.Activate(t.Context(), &again), job.ErrConflict)
	require.ErrorIs(t, w.DeleteJob(t.Context(), rec, noon), job.ErrConflict)
	require.Equal(t, []string{"j"}, w.listed(tablestore.JobQuery{Status: job.StatusCancelled, Max: 2}))
	require.Empty(t, w.listed(tablestore.JobQuery{Status: job.StatusRunning, Max: 2}))
	require.Empty(t, w.active())
}

func TestHubsShareTablesButNoJobs(t *testing.T) {
	t.Parallel()
	w := setup(t)
	other := w.open("other.azure-devices.net")
	w.create(newJob("j", 0))
	_, err := other.Job(t.Context(), "j")
	require.ErrorIs(t, err, job.ErrNotFound)
	require.NoError(t, other.CreateJob(t.Context(), newJob("j", 0)))
	require.Equal(t, []string{"j"}, w.listed(tablestore.JobQuery{Max: 5}))
	_, err = w.open("HUB.Azure-Devices.Net").Job(t.Context(), "j")
	require.NoError(t, err, "host names have no case")
}

// The largest job that its rules allow, in text that storage could spoil.
func TestTheLargestJobSurvives(t *testing.T) {
	t.Parallel()
	for name, letter := range map[string]string{"ascii": "<", "two bytes": "é", "three": "漢", "four": "🎉", "separator": "\u2028"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			rec := newJob("j", 0)
			text := strings.Repeat(letter, (job.MaxMethodPayload-2)/len(letter))
			rec.Method.Payload = json.RawMessage(`"` + text + `"`)
			rec.QueryCondition = "tags.x = '" + strings.Repeat(letter, job.MaxConditionChars-11) + "'"
			for range 5 {
				rec.Warnings = append(rec.Warnings, "queryCondition: "+rec.QueryCondition)
			}
			rec.KeyHash = "k"
			w.create(rec)
			w.become("j", job.StatusRunning)
			got, err := w.Job(t.Context(), "j")
			require.NoError(t, err)
			require.Equal(t, rec.QueryCondition, got.QueryCondition)
			require.LessOrEqual(t, len(got.Method.Payload), job.MaxMethodPayload, "what is sent to the hub did not grow")
			var stored string
			require.NoError(t, json.Unmarshal(got.Method.Payload, &stored))
			require.Equal(t, text, stored)
		})
	}
}

func TestTheLargestPatchSurvives(t *testing.T) {
	t.Parallel()
	w := setup(t)
	patch := json.RawMessage(`{"é":["` + strings.Repeat("é<", (job.MaxPatchText-12)/3) + `"]}`)
	require.LessOrEqual(t, len(patch), job.MaxPatchText)
	rec := newJob("j", 0)
	rec.Type, rec.Method = job.TypeTwin, nil
	rec.UpdateTwin = &job.TwinUpdate{Tags: patch, Properties: &job.TwinProperties{Desired: patch}}
	w.create(rec)
	got, err := w.Job(t.Context(), "j")
	require.NoError(t, err)
	require.Equal(t, string(patch), string(got.UpdateTwin.Tags))
	require.Equal(t, string(patch), string(got.UpdateTwin.Properties.Desired))
}
