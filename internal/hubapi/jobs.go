package hubapi

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/dispatch"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// created is the answer to a new job.
type created struct {
	JobID  string   `json:"jobId"`
	Type   job.Type `json:"type"`
	Status string   `json:"status"`
}

func (h *handler) create(ctx context.Context, r *request) (*answer, error) {
	if faults := job.CheckJobID("jobId", r.jobID); faults != nil {
		return nil, faults
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	def, err := ParseJob(body, r.jobID, h.now())
	if err != nil {
		return nil, err
	}
	// A key of its own makes every request a new job: the same job again is a conflict here, where the native API takes it for
	// a repetition.
	rec, err := h.opts.Jobs.Create(ctx, def, "hub-"+rand.Text(), r.by)
	switch {
	case errors.Is(err, job.ErrConflict), errors.Is(err, dispatch.ErrIDTaken):
		return nil, &failure{
			status: http.StatusConflict, name: "JobAlreadyExists", word: "Conflict",
			text: "A job with ID '" + r.jobID + "' already exists.",
		}
	case err != nil:
		return nil, err
	}
	return &answer{body: created{rec.JobID, rec.Type, wordQueued}}, nil
}

func (h *handler) get(ctx context.Context, r *request) (*answer, error) {
	rec, run, err := h.lookup(ctx, r.jobID)
	switch {
	case errors.Is(err, job.ErrNotFound):
		// Not 404: see https://github.com/Azure/azure-iot-sdk-csharp/issues/2941.
		return &answer{body: map[string]string{"type": wordUnknown, "status": wordUnknown}}, nil
	case err != nil:
		return nil, err
	}
	return &answer{body: newJobDocument(rec, run)}, nil
}

// lookup reads a job, or gives job.ErrNotFound.
func (h *handler) lookup(ctx context.Context, id string) (*job.Record, *job.Run, error) {
	if len(job.CheckJobID("", id)) > 0 {
		return nil, nil, job.ErrNotFound
	}
	return h.opts.Jobs.Get(ctx, id)
}

func (h *handler) cancel(ctx context.Context, r *request) (*answer, error) {
	unknown := &failure{status: http.StatusNotFound, name: "JobNotFound", word: "NotFound", text: "Job " + r.jobID + " was not found."}
	if len(job.CheckJobID("", r.jobID)) > 0 {
		return nil, unknown
	}
	rec, run, err := h.opts.Jobs.Cancel(ctx, r.jobID, r.by)
	switch {
	case errors.Is(err, job.ErrNotFound):
		return nil, unknown
	case errors.Is(err, dispatch.ErrEnded):
		return nil, h.notNow(ctx, r.jobID)
	case err != nil:
		return nil, err
	}
	return &answer{body: newJobDocument(rec, run)}, nil
}

// notNow refuses to cancel a job that has ended.
func (h *handler) notNow(ctx context.Context, id string) error {
	rec, run, err := h.lookup(ctx, id)
	if err != nil {
		return err
	}
	word := wordOf(rec, run)
	return &failure{
		status: http.StatusMethodNotAllowed, name: "OperationNotAllowedInCurrentState",
		text: "Job cannot be cancelled in '" + strings.ToUpper(word[:1]) + word[1:] + "' status.",
	}
}

// listed are the statuses that a word of the hub's filter stands for. Both spellings of cancelled are taken.
func listed(word string) ([]job.Status, bool) {
	switch strings.ToLower(word) {
	case "":
		return []job.Status{""}, true
	case wordQueued, wordEnqueued, wordScheduled, rowPending:
		return []job.Status{job.StatusScheduled, job.StatusPaused}, true
	case wordRunning:
		return []job.Status{job.StatusRunning, job.StatusBlocked, job.StatusPaused, job.StatusStopping}, true
	case wordCompleted:
		return []job.Status{job.StatusCompleted}, true
	case wordFailed:
		return []job.Status{job.StatusFailed}, true
	case wordCancelled, rowCanceled:
		return []job.Status{job.StatusCancelled}, true
	case wordUnknown:
		return nil, true
	}
	return nil, false
}

// otherTypes are the types of jobs of a hub that fleetjobs does not have.
const otherTypes = " export import backup readdeviceproperties writedeviceproperties updatedeviceconfiguration " +
	"rebootdevice factoryresetdevice firmwareupdate restorefrombackup failoverdatacopy "

// jobType reads the filter of that name; none says that no job of ours has the type.
func jobType(text string) (kind job.Type, none bool, err error) {
	for _, t := range append(job.Types(), "") {
		if strings.EqualFold(text, typeWord(t)) {
			return t, false, nil
		}
	}
	if strings.Contains(otherTypes, " "+strings.ToLower(text)+" ") {
		return "", true, nil
	}
	return "", false, argumentInvalid("jobType is not a type of jobs")
}

// list gives a page of jobs, newest first.
func (h *handler) list(ctx context.Context, r *request) (*answer, error) {
	size, err := pageSize(r)
	if err != nil {
		return nil, err
	}
	values := r.URL.Query()
	word := values.Get("jobStatus")
	statuses, ok := listed(word)
	if !ok {
		return nil, argumentInvalid("jobStatus is not a status of jobs")
	}
	kind, none, err := jobType(values.Get("jobType"))
	if err != nil {
		return nil, err
	}
	if none {
		statuses = nil
	}
	listing := "jobs " + strings.ToLower(word) + " " + string(kind)
	from, err := parseCursor(r.Header.Get(headerContinuation), listing)
	if err != nil || from.List < 0 {
		return nil, argumentInvalid("Invalid continuation token")
	}
	documents, next, err := firstFull(from, func(at cursor) ([]jobDocument, *cursor, error) {
		page, next, err := h.page(ctx, at, statuses, tablestore.JobQuery{Type: kind, Max: size})
		if word != "" { // what went on since the lists were written, and queued apart from scheduled
			page = keep(page, strings.ToLower(word))
		}
		return page, next, err
	})
	if err != nil {
		return nil, err
	}
	return pageAnswer("JobResponse", documents, next, listing), nil
}

// keep gives the documents with a status. Words that are not those of documents stand for others.
func keep(all []jobDocument, word string) []jobDocument {
	switch word {
	case wordEnqueued, rowPending:
		word = wordQueued
	case rowCanceled:
		word = wordCancelled
	}
	kept := []jobDocument{}
	for _, d := range all {
		if d.Status == word {
			kept = append(kept, d)
		}
	}
	return kept
}

// readsAtOnce bounds the reads of one listing.
const readsAtOnce = 10

// firstFull reads pages from a position on until one has jobs, and gives where the next one with jobs begins: a page without any
// ends the listing for some clients, and for Java's fails if a token led to it.
func firstFull(from cursor, read func(cursor) ([]jobDocument, *cursor, error)) ([]jobDocument, *cursor, error) {
	documents, next, err := read(from)
	for err == nil && len(documents) == 0 && next != nil {
		documents, next, err = read(*next)
	}
	var ahead []jobDocument
	for at := next; err == nil && at != nil; {
		var after *cursor
		if ahead, after, err = read(*at); len(ahead) > 0 {
			return documents, at, err
		}
		at = after
	}
	return documents, nil, err
}

// page reads a page from the lists of statuses, one after the other. It may be short although more follow.
func (h *handler) page(ctx context.Context, from cursor, statuses []job.Status, q tablestore.JobQuery) ([]jobDocument, *cursor, error) {
	if from.List >= len(statuses) {
		return []jobDocument{}, nil, nil
	}
	q.Status, q.From = statuses[from.List], from.Next
	recs, token, err := h.opts.Store.Jobs(ctx, q)
	if job.FaultsOf(err) != nil { // the only thing that can be wrong with it
		return nil, nil, argumentInvalid("Invalid continuation token")
	}
	if err != nil {
		return nil, nil, err
	}
	documents, err := h.documents(ctx, recs)
	switch {
	case err != nil:
		return nil, nil, err
	case token != "":
		return documents, &cursor{List: from.List, Next: token}, nil
	case from.List+1 < len(statuses):
		return documents, &cursor{List: from.List + 1}, nil
	}
	return documents, nil, nil
}

// documents reads the jobs of a list: its rows are without bodies, and as of the last change of status.
func (h *handler) documents(ctx context.Context, recs []*job.Record) ([]jobDocument, error) {
	read := make([]jobDocument, len(recs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readsAtOnce)
	for i, rec := range recs {
		g.Go(func() error {
			whole, run, err := h.opts.Jobs.Get(ctx, rec.JobID)
			if errors.Is(err, job.ErrNotFound) {
				return nil // deleted meanwhile
			}
			if err == nil {
				read[i] = newJobDocument(whole, run)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	documents := []jobDocument{}
	for _, d := range read {
		if d.JobID != "" {
			documents = append(documents, d)
		}
	}
	return documents, nil
}
