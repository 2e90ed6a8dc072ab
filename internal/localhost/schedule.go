package localhost

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	cron "github.com/netresearch/go-cron"
)

// schedule tells when a timer function runs.
type schedule interface {
	// next is the first occurrence after the given time.
	next(after time.Time) time.Time
	// adjustForDST is TimerInfo.Schedule.AdjustForDST.
	adjustForDST() bool
}

// parseSchedule parses an NCRONTAB expression of six fields (or five, meaning second 0), or a .NET time span.
// See https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions.
func parseSchedule(text string) (schedule, error) {
	fields := strings.Fields(text)
	switch len(fields) {
	case 5:
		fields = append([]string{"0"}, fields...)
	case 6:
	default:
		interval, err := timeSpan(text)
		if err != nil || interval <= 0 {
			return nil, fmt.Errorf("schedule %q is neither an NCRONTAB expression nor a time span", text)
		}
		return constantSchedule(interval), nil
	}
	s, err := parseCron(fields)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", text, err)
	}
	return s, nil
}

// constantSchedule runs at a fixed distance.
type constantSchedule time.Duration

func (s constantSchedule) next(after time.Time) time.Time { return after.Add(time.Duration(s)) }
func (constantSchedule) adjustForDST() bool               { return false }

// cronSchedule runs by an NCRONTAB expression, in UTC as in Azure.
type cronSchedule struct {
	parsed cron.Schedule
}

func (s cronSchedule) next(after time.Time) time.Time { return s.parsed.Next(after.UTC()) }
func (cronSchedule) adjustForDST() bool               { return true }

// parseCron refuses what other cron dialects know and NCRONTAB does not, then lets go-cron parse.
func parseCron(fields []string) (schedule, error) {
	plain := regexp.MustCompile(`^[0-9A-Za-z*,/-]+$`)
	for i, field := range fields {
		if !plain.MatchString(field) {
			return nil, fmt.Errorf("field %q is not NCRONTAB", field)
		}
		if i == 5 && regexp.MustCompile(`(^|[,-])0*7($|[,/-])`).MatchString(field) {
			return nil, errors.New("days of the week are 0 (Sunday) to 6")
		}
	}
	parser, err := cron.TryNewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	if err != nil {
		return nil, fmt.Errorf("setting up the cron parser: %w", err)
	}
	parsed, err := parser.Parse(strings.Join(fields, " "))
	if err != nil {
		return nil, fmt.Errorf("parsing NCRONTAB: %w", err)
	}
	s := cronSchedule{parsed: parsed}
	if s.next(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("never occurs")
	}
	return s, nil
}

// oftenerThanMinutely reports whether occurrences are less than a minute apart. The host does not monitor such
// schedules: it keeps no status for them and hands none to the handler.
func oftenerThanMinutely(s schedule, from time.Time) bool {
	previous := s.next(from)
	for range 10 {
		next := s.next(previous)
		if next.IsZero() {
			return false
		}
		if next.Sub(previous) < time.Minute {
			return true
		}
		previous = next
	}
	return false
}
