package cli

import (
	"flag"
	"fmt"
	"strconv"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// span is a flag for a length of time: 10m, or as the JSON of a job has it, PT10M.
type span time.Duration

// spanVar defines a flag for a length of time, whose default *p is.
func spanVar(fs *flag.FlagSet, p *time.Duration, name, usage string) { fs.Var((*span)(p), name, usage) }

// String implements [flag.Value].
func (s *span) String() string { return time.Duration(*s).String() }

// Set implements [flag.Value].
func (s *span) Set(text string) error {
	if d, err := time.ParseDuration(text); err == nil {
		*s = span(d)
		return nil
	}
	if d, err := schedule.ParseDuration(text); err == nil {
		*s = span(d)
		return nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return fmt.Errorf("the unit is missing: %ss, %sm and %sh are seconds, minutes and hours", text, text, text)
	}
	return fmt.Errorf("it is no length of time, such as 30s, 10m, 1h30m or, as in JSON, PT10M")
}
