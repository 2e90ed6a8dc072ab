package hubsim

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/jobsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/twin"
)

func (s *Server) putJob(w http.ResponseWriter, r *http.Request, id string) *failure {
	spec, f := s.parseJob(r, id)
	if f != nil {
		return f
	}
	v, err := s.jobs.Create(spec)
	switch {
	case errors.Is(err, jobsim.ErrExists):
		return s.wrapped("Conflict", &failure{
			status: http.StatusConflict, name: "JobAlreadyExists", text: "A job with ID '" + id + "' already exists.",
		})
	case errors.Is(err, jobsim.ErrTooMany):
		return s.wrapped("429", &failure{
			status: http.StatusTooManyRequests, name: "ThrottlingMaxActiveJobCountExceeded", number: 429004, text: "429",
		})
	case err != nil:
		return serverError(http.StatusInternalServerError)
	}
	s.answerJSON(w, http.StatusOK, map[string]string{"jobId": v.ID, "type": v.Type, "status": v.Status})
	return nil
}

// wrapped puts a failure into another of the same name, as the service does with those of jobs
// (https://github.com/Azure/azure-iot-sdk-csharp/issues/361).
func (s *Server) wrapped(word string, inner *failure) *failure {
	outer := *inner
	outer.text = "Error: " + word + " " + string(s.envelope(inner))
	return &outer
}

func (s *Server) getJob(w http.ResponseWriter, _ *http.Request, id string) *failure {
	v, err := s.jobs.Get(id)
	if err != nil {
		// Not 404: see https://github.com/Azure/azure-iot-sdk-csharp/issues/2941.
		s.answerJSON(w, http.StatusOK, map[string]string{"type": "unknown", "status": "unknown"})
		return nil
	}
	s.answerJSON(w, http.StatusOK, newJobDocument(v))
	return nil
}

func (s *Server) cancelJob(w http.ResponseWriter, r *http.Request, id string) *failure {
	if r.ContentLength == 0 && r.Header.Get("Content-Length") == "" {
		// See https://github.com/Azure/azure-iot-sdk-java/issues/124.
		return &failure{status: http.StatusLengthRequired, name: "GenericBadRequest", text: "Length Required"}
	}
	v, err := s.jobs.Cancel(id)
	switch {
	case errors.Is(err, jobsim.ErrNotFound): // a guess
		return s.wrapped("NotFound", &failure{
			status: http.StatusNotFound, name: "JobNotFound", number: 404002, text: "Job " + id + " was not found.",
		})
	case errors.Is(err, jobsim.ErrNotNow): // the text has been seen, the status 405 is a guess
		status := strings.ToUpper(v.Status[:1]) + v.Status[1:]
		return &failure{
			status: http.StatusMethodNotAllowed, name: "OperationNotAllowedInCurrentState",
			text: "Job cannot be cancelled in '" + status + "' status.",
		}
	case err != nil:
		return serverError(http.StatusInternalServerError)
	}
	s.answerJSON(w, http.StatusOK, newJobDocument(v))
	return nil
}

// listJobs answers with a page of jobs, oldest first (a guess).
func (s *Server) listJobs(w http.ResponseWriter, r *http.Request, _ string) *failure {
	size, f := s.pageSize(r)
	if f != nil {
		return f
	}
	values := r.URL.Query()
	kind, status := values.Get("jobType"), values.Get("jobStatus")
	query := "jobs/" + kind + "/" + status
	var from position
	if token := r.Header.Get("x-ms-continuation"); token != "" {
		var err error
		if from, err = parsePosition(token, query); err != nil {
			return argumentInvalid("Invalid continuation token")
		}
	}
	page := []jobDocument{}
	for v := range s.jobs.After(from.Returned) {
		if kind != "" && !strings.EqualFold(kind, v.Type) || status != "" && !strings.EqualFold(status, v.Status) {
			continue
		}
		if len(page) == size {
			w.Header().Set("x-ms-continuation", position{Returned: from.Returned}.token(query))
			break
		}
		page = append(page, newJobDocument(v))
		from.Returned = v.Number
	}
	w.Header().Set("x-ms-item-type", "JobResponse")
	s.answerJSON(w, http.StatusOK, page)
	return nil
}

// selectJobRows fills a page with devices of jobs. The position names job and row.
func (s *Server) selectJobRows(p *page) *failure {
	if s.jobs == nil {
		return nil
	}
	from, err := parseRow(p.from.After)
	if err != nil {
		return argumentInvalid("Invalid continuation token")
	}
	returned := p.from.Returned
	for at, row := range s.jobs.Rows(from) {
		document := rowDocument(row)
		if !p.q.Match(&document, s.opt.Query) {
			continue
		}
		if p.q.Top > 0 && returned == p.q.Top {
			return nil
		}
		if p.held == p.size {
			p.next = &position{After: formatRow(at), Returned: returned}
			return nil
		}
		if p.held > 0 {
			p.rows = append(p.rows, ',')
		}
		p.rows = document.append(p.rows)
		p.held++
		returned++
	}
	return nil
}

// formatRow and parseRow write a position as text.
func formatRow(at jobsim.Position) string { return strconv.Itoa(at.Job) + "/" + strconv.Itoa(at.Row) }

func parseRow(text string) (at jobsim.Position, err error) {
	if text == "" {
		return at, nil
	}
	number, row, _ := strings.Cut(text, "/")
	if at.Job, err = strconv.Atoi(number); err == nil {
		at.Row, err = strconv.Atoi(row)
	}
	return at, err
}

// zoneless writes a time without a zone, as the service writes some times of job rows; quoted with one.
func zoneless(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000") }

func quoted(t time.Time) string {
	text := twin.AppendTime(nil, t)
	return string(text[1 : len(text)-1])
}
