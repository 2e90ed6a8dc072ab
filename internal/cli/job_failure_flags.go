package cli

import (
	"flag"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// failureFlags say what failures of devices mean for a new job; what they do not express goes into a file.
type failureFlags struct {
	abortAt  float64
	abortMin int
}

func (f *failureFlags) flags(fs *flag.FlagSet) {
	fs.Float64Var(&f.abortAt, "abort-at", 0, "end the job early when this `percentage` of the devices called so far ended without success")
	fs.IntVar(&f.abortMin, "abort-min", 0, "how `many` devices must have ended before --abort-at counts, 1 unless given")
}

// failureFlagNames are the flags that do not go with a file.
func failureFlagNames() []string { return []string{"abort-at", "abort-min"} }

// failures puts the flags into the definition.
func (c *jobCreate) failures(def *client.Definition) error {
	switch {
	case c.given["abort-at"]:
		def.Abort = &client.Abort{Criteria: []client.AbortCriterion{{
			ThresholdPercentage: c.abortAt, MinNumberOfExecutedDevices: c.abortMin,
		}}}
	case c.given["abort-min"]:
		return usagef("give both", "--abort-min goes with --abort-at only")
	}
	return nil
}
