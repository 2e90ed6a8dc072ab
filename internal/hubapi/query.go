package hubapi

import (
	"context"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// overJobs finds queries over devices.jobs that cannot be parsed: the hub knows nothing of our jobs.
var overJobs = regexp.MustCompile(`(?i)\bfrom\s+devices\s*\.\s*jobs\b`)

// query answers a query over devices.jobs from our executions, and leaves every other to the hub.
func (h *handler) query(ctx context.Context, r *request) (*answer, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	text, err := parseQueryBody(body)
	if err != nil {
		return nil, err
	}
	q, err := twinquery.ParseQuery(text)
	if err != nil && overJobs.MatchString(text) {
		return nil, badRequest("ArgumentInvalid")
	}
	if err != nil || q.Source != twinquery.Jobs {
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		return nil, errForHub
	}
	size, err := pageSize(r)
	if err != nil {
		return nil, err
	}
	from, err := parseCursor(r.Header.Get(headerContinuation), text)
	if err != nil {
		return nil, argumentInvalid("Invalid continuation token")
	}
	s := &scan{handler: h, query: q, size: size, at: from, rows: []map[string]any{}}
	s.only, _ = required(q.Where, "jobId")
	more, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	var next *cursor
	if more {
		next = &s.at
	}
	return pageAnswer("DeviceJob", s.rows, next, text), nil
}

// required gives the text that a field must have for a condition to hold, if the condition says so in a conjunction.
func required(e twinquery.Expr, field string) (string, bool) {
	b, ok := e.(*twinquery.Binary)
	switch {
	case !ok:
		return "", false
	case b.Op == twinquery.And:
		if text, ok := required(b.X, field); ok {
			return text, true
		}
		return required(b.Y, field)
	case b.Op != twinquery.Eq:
		return "", false
	}
	for _, sides := range [][2]twinquery.Expr{{b.X, b.Y}, {b.Y, b.X}} {
		path, isPath := sides[0].(*twinquery.Path)
		value, isConst := sides[1].(*twinquery.Const)
		if !isPath || !isConst || len(path.Key) != 1 || path.Key[0] != field {
			continue
		}
		if v, _ := value.Value(); v != nil {
			text, isText := v.(string)
			return text, isText
		}
	}
	return "", false
}

// What one request reads at most: a page that reaches a limit is short and has a continuation.
const (
	shardsPerRead = 10
	shardsPerPage = 100 // 10,000 executions
	jobsPerPage   = 50
)

// scan reads the executions of jobs, newest job first, and keeps those that a query selects.
type scan struct {
	*handler
	query *twinquery.Query
	size  int
	only  string // the job that the query is about, "" for all
	at    cursor
	rows  []map[string]any

	shards int // read so far
}

// run fills the page and reports whether more may follow, from s.at on.
func (s *scan) run(ctx context.Context) (more bool, err error) {
	if s.only != "" {
		s.at.JobID, s.at.Last = s.only, true
	}
	for range jobsPerPage {
		if s.at.JobID == "" {
			if found, err := s.nextJob(ctx); !found || err != nil {
				return false, err
			}
		}
		full, err := s.job(ctx)
		switch {
		case err != nil:
			return false, err
		case full:
			return !s.atTop(), nil
		case s.at.Last:
			return false, nil
		}
		s.at = cursor{Next: s.at.Next, Returned: s.at.Returned}
	}
	return true, nil
}

// nextJob moves to the next job of the list.
func (s *scan) nextJob(ctx context.Context) (bool, error) {
	recs, next, err := s.opts.Store.Jobs(ctx, tablestore.JobQuery{From: s.at.Next, Max: 1})
	switch {
	case job.FaultsOf(err) != nil:
		return false, argumentInvalid("Invalid continuation token")
	case err != nil || len(recs) == 0:
		return false, err
	}
	s.at.JobID, s.at.Next, s.at.Last = recs[0].JobID, next, next == ""
	return true, nil
}

func (s *scan) atTop() bool { return s.query.Top > 0 && s.at.Returned >= s.query.Top }

// job reads on in the job of s.at and reports whether the page is full, or enough was read.
func (s *scan) job(ctx context.Context) (full bool, err error) {
	rec, run, err := s.lookup(ctx, s.at.JobID)
	if err == nil && s.at.RunID != "" && s.at.RunID != run.ID && job.OwnerOf(s.at.RunID) == rec.JobID {
		_, run, err = s.opts.Jobs.GetRun(ctx, s.at.RunID)
	}
	if err == nil {
		run, err = s.atDefault(ctx, run)
	}
	switch {
	case errors.Is(err, job.ErrNotFound): // never was, or deleted meanwhile
		return false, nil
	case err != nil:
		return false, err
	}
	s.at.RunID = run.ID
	for s.shards < shardsPerPage {
		shards, err := s.opts.Store.Shards(ctx, run.ID, tablestore.ShardQuery{From: s.at.Shard, Max: shardsPerRead, Always: -1})
		if err != nil {
			return false, err
		}
		for _, shard := range shards {
			s.shards++
			if s.shard(rec, run, shard) {
				return true, nil
			}
		}
		if len(shards) < shardsPerRead {
			return false, nil
		}
	}
	return true, nil
}

// atDefault gives the part of a run that works at the hub whose routes these are, job.ErrNotFound where it has none.
func (s *scan) atDefault(ctx context.Context, run *job.Run) (*job.Run, error) {
	if run.Hubs != nil {
		_, run, err := s.opts.Jobs.GetRun(ctx, job.HubRunID(run.ID, s.opts.HubName))
		return run, err
	}
	if run.Hub != "" && run.Hub != s.opts.HubName {
		return nil, job.ErrNotFound
	}
	return run, nil
}

// shard takes what the query selects out of a shard, and reports whether the page is full.
func (s *scan) shard(rec *job.Record, run *job.Run, shard *job.Shard) bool {
	first := 0
	if shard.Number == s.at.Shard {
		first = s.at.Offset
	}
	for i := first; i < len(shard.Executions); i++ {
		e := shard.Executions[i]
		if run.NeverEnqueued(shard.Number) {
			e.End(run.Unreached(), run.EndedAt)
		}
		found := row(rec, run, &e)
		if !s.query.Match(twinquery.Map(found), twinquery.Options{}) {
			continue
		}
		if len(s.rows) == s.size || s.atTop() {
			s.at.Shard, s.at.Offset = shard.Number, i
			return true
		}
		s.rows = append(s.rows, found)
		s.at.Returned++
	}
	s.at.Shard, s.at.Offset = shard.Number+1, 0
	return false
}
