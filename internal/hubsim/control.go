package hubsim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
)

// control answers requests for the simulator itself, see the package comment.
func (s *Server) control(w http.ResponseWriter, r *http.Request, segments []string) {
	if !s.gate.allows(r, serviceConnect) {
		s.fail(w, unauthorized())
		return
	}
	switch r.Method + " " + strings.Join(segments, "/") {
	case "GET stats":
		s.answerJSON(w, http.StatusOK, s.Stats())
	case "GET faults":
		s.answerJSON(w, http.StatusOK, s.Faults())
	case "PUT faults":
		s.putFaults(w, r)
	case "GET calls":
		s.getCalls(w, r)
	case "POST reset":
		if err := s.Reset(); err != nil {
			s.refuse(w, http.StatusInternalServerError, err.Error())
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		s.controlDevice(w, r, segments)
	}
}

func (s *Server) putFaults(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r, 64*maxBody)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var plan fault.Plan
	if err := decoder.Decode(&plan); err != nil {
		s.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := s.SetFaults(plan); err != nil {
		s.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) getCalls(w http.ResponseWriter, r *http.Request) {
	calls := s.Calls()
	answer := struct {
		Enabled bool           `json:"enabled"`
		Total   int            `json:"total"`
		Methods map[string]int `json:"methods"`
		Updates map[string]int `json:"updates"`
		Entries []Call         `json:"entries,omitempty"`
	}{s.opt.Journal, len(calls), s.CallCounts(fault.Methods), s.CallCounts(fault.TwinUpdate), nil}
	if r.URL.Query().Get("entries") == "true" {
		answer.Entries = calls
	}
	s.answerJSON(w, http.StatusOK, answer)
}

func (s *Server) controlDevice(w http.ResponseWriter, r *http.Request, segments []string) {
	if r.Method != http.MethodPost || len(segments) != 3 || segments[0] != "devices" {
		s.refuse(w, http.StatusNotFound, "no such control")
		return
	}
	online := segments[2] == "online"
	if !online && segments[2] != "offline" {
		s.refuse(w, http.StatusNotFound, "no such control")
		return
	}
	if !s.SetOnline(segments[1], online) {
		s.refuse(w, http.StatusNotFound, "no such device inside the simulator")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// refuse answers a control request that cannot be done.
func (s *Server) refuse(w http.ResponseWriter, status int, reason string) {
	s.answerJSON(w, status, map[string]string{"error": reason})
}
