package cli

import (
	"flag"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

// tierFlags say what the simulated hub enforces.
type tierFlags struct {
	throttle throttle.Options
	scale    float64
	jobs     bool
}

func (f *tierFlags) flags(fs *flag.FlagSet) {
	fs.Var(&f.throttle.Tier, "tier", "`name` of the IoT Hub tier whose throttles the simulator enforces: F1, S1, S2, S3; none unless given")
	fs.IntVar(&f.throttle.Units, "units", 1, "how `many` units of the tier the hub has")
	fs.BoolVar(&f.throttle.Quota, "quota", false, "also refuse what costs messages once the tier's messages of the day are spent")
	fs.BoolVar(&f.jobs, "jobs", false, "switch the simulator's own engine for scheduled jobs on (/jobs/v2), with the pace and limits of the tier")
	fs.Float64Var(&f.scale, "time-scale", 1, "how many `times` faster the simulator's own clock runs: with 60, what the tier allows in a minute it allows in a second")
}

func (f *tierFlags) check() error {
	if !(f.scale > 0 && f.scale <= 10_000) {
		return usagef("give a number above 0, as in 60", "--time-scale %v is no scale", f.scale)
	}
	if err := f.throttle.Validate(); err != nil || f.throttle.Units < 1 {
		return usagef("give 1 to 200", "--units %d is out of range", f.throttle.Units)
	}
	if f.throttle.Tier == "" && (f.throttle.Units > 1 || f.throttle.Quota) {
		return usagef("add --tier S1, S2 or S3", "--units and --quota belong to a tier")
	}
	return nil
}
