package hubsim

import (
	"encoding/json"
	"iter"
	"net/http"
	"sort"
	"strconv"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/twin"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// page is what a query page is made of.
type page struct {
	q    *twinquery.Query
	from position
	size int // rows that it may hold
	// repeat says that the next page begins with the last device of this one.
	repeat bool

	rows []byte // JSON, without the brackets
	held int    // rows in it
	next *position
}

func (s *Server) query(w http.ResponseWriter, r *http.Request, _ string) *failure {
	q, text, f := s.parseQuery(r)
	if f != nil {
		return f
	}
	size, f := s.pageSize(r)
	if f != nil {
		return f
	}
	p := page{q: q}
	if token := r.Header.Get("x-ms-continuation"); token != "" {
		from, err := parsePosition(token, text)
		if err != nil || s.injector.LoseToken() {
			return argumentInvalid("Invalid continuation token")
		}
		p.from = from
	}
	p.size, p.repeat = s.injector.Page(size)
	switch {
	case p.size == 0:
		p.next = &p.from
	case q.Source == twinquery.Jobs:
		if f := s.selectJobRows(&p); f != nil {
			return f
		}
	case q.IsAggregate():
		s.aggregate(&p)
	default:
		s.selectRows(&p)
	}
	s.answerPage(w, &p, text)
	return nil
}

func (s *Server) answerPage(w http.ResponseWriter, p *page, text string) {
	s.counters.pages.Add(1)
	s.counters.rows.Add(int64(p.held))
	h := w.Header()
	switch {
	case p.q.Source == twinquery.Jobs:
		h.Set("x-ms-item-type", "DeviceJob")
	case p.q.IsAll():
		h.Set("x-ms-item-type", "Twin")
	default:
		h.Set("x-ms-item-type", "Raw")
	}
	if p.next != nil {
		h.Set("x-ms-continuation", p.next.token(text))
	}
	body := make([]byte, 0, len(p.rows)+2)
	body = append(append(append(body, '['), p.rows...), ']')
	s.answer(w, http.StatusOK, body)
}

// parseQuery reads the body of a query. The service gives no reasons when it refuses one; its answers are the same here.
func (s *Server) parseQuery(r *http.Request) (*twinquery.Query, string, *failure) {
	body, err := readBody(r, maxBody)
	if err != nil {
		return nil, "", bodyFailure(err)
	}
	var request struct {
		Query *string `json:"query"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, "", badRequest("ArgumentInvalid")
	}
	if request.Query == nil || *request.Query == "" {
		return nil, "", badRequest("ArgumentNull")
	}
	q, err := twinquery.ParseQuery(*request.Query)
	if err != nil {
		return nil, "", badRequest("ArgumentInvalid")
	}
	for _, unknown := range q.Unknown {
		if unknown.Kind != twinquery.UnknownField && !s.opt.LenientQueries {
			return nil, "", badRequest("ArgumentInvalid")
		}
	}
	return q, *request.Query, nil
}

func (s *Server) pageSize(r *http.Request) (int, *failure) {
	text := r.Header.Get("x-ms-max-item-count")
	if text == "" {
		return s.opt.PageCap, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, argumentInvalid("x-ms-max-item-count must be a positive integer")
	}
	return min(n, s.opt.PageCap), nil
}

// selectRows fills a page with one row per device or module, in the order of their ids. It looks ahead for one more row, so that the last
// page has no continuation.
func (s *Server) selectRows(p *page) {
	devices := s.sorted(p.q.Source)
	first := sort.Search(len(devices), func(i int) bool {
		return devices[i].ID() > p.from.After || p.from.Repeat && devices[i].ID() == p.from.After
	})
	var v registry.View
	last, returned := p.from.After, p.from.Returned
	for _, device := range devices[first:] {
		var listed bool
		if v, listed = device.Indexed(); !listed || !p.q.Match(&v, s.opt.Query) {
			continue
		}
		again := p.from.Repeat && v.ID == p.from.After
		if !again && p.q.Top > 0 && returned == p.q.Top {
			return
		}
		if p.held == p.size {
			// A page that only repeats would not get on.
			p.next = &position{After: last, Returned: returned, Repeat: p.repeat && last != p.from.After}
			return
		}
		p.add(&v)
		last = v.ID
		if !again {
			returned++
		}
	}
}

func (p *page) add(v *registry.View) {
	if p.held > 0 {
		p.rows = append(p.rows, ',')
	}
	if p.q.IsAll() {
		p.rows = v.AppendTwin(p.rows)
	} else {
		p.rows = twin.AppendValue(p.rows, p.q.Project(v))
	}
	p.held++
}

// aggregate fills a page with the rows of an aggregate query, which are computed again for every page.
func (s *Server) aggregate(p *page) {
	row := 0
	for values := range p.q.Run(s.documents(p.q.Source), s.opt.Query) {
		row++
		if row <= p.from.Returned {
			continue
		}
		if p.held == p.size {
			p.next = &position{Returned: row - 1}
			return
		}
		if p.held > 0 {
			p.rows = append(p.rows, ',')
		}
		p.rows = twin.AppendValue(p.rows, values)
		p.held++
	}
}

// sorted returns the devices or modules that a query or condition reads.
func (s *Server) sorted(source twinquery.Source) []*registry.Device {
	if source == twinquery.Modules {
		return s.registry.SortedModules()
	}
	return s.registry.Sorted()
}

// documents yields every listed device or module. The document is the same each time, with other content.
func (s *Server) documents(source twinquery.Source) iter.Seq[twinquery.Document] {
	return func(yield func(twinquery.Document) bool) {
		var v registry.View
		for _, device := range s.sorted(source) {
			var listed bool
			if v, listed = device.Indexed(); listed && !yield(&v) {
				return
			}
		}
	}
}
