package config

import (
	"fmt"
	"strconv"

	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// Pace says what the hub allows: by its tier and units, and by rates that replace the tier's where they are not 0.
type Pace struct {
	Tier  string `env:"FLEETJOBS_HUB_TIER" envDefault:"S1"`
	Units int    `env:"FLEETJOBS_HUB_UNITS" envDefault:"1"`
	// MethodsPerSecond counts direct methods by 4 KB of payload.
	MethodsPerSecond     float64 `env:"FLEETJOBS_METHODS_PER_SECOND" envDefault:"0"`
	TwinUpdatesPerSecond float64 `env:"FLEETJOBS_TWIN_UPDATES_PER_SECOND" envDefault:"0"`
	QueriesPerMinute     float64 `env:"FLEETJOBS_QUERIES_PER_MINUTE" envDefault:"0"`
}

// Rates gives the allowances.
func (p Pace) Rates() (pace.Rates, error) {
	rates, err := pace.RatesOf(p.Tier, p.Units)
	if err != nil {
		return nil, err
	}
	for op, rate := range map[pace.Operation]float64{
		pace.Methods: p.MethodsPerSecond, pace.TwinUpdates: p.TwinUpdatesPerSecond, pace.Queries: p.QueriesPerMinute / 60,
	} {
		if rate != 0 {
			rates[op] = rate
		}
	}
	return rates, nil
}

const (
	maxUnits = 1000
	minRate  = 0.1
	maxRate  = 1_000_000
)

func (p Pace) check(f *faults) {
	if _, err := p.Rates(); err != nil {
		f.add("FLEETJOBS_HUB_TIER", p.Tier, "must be F1, S1, S2, S3, or none for a hub without throttles")
	}
	if p.Units < 1 || p.Units > maxUnits {
		f.add("FLEETJOBS_HUB_UNITS", strconv.Itoa(p.Units), fmt.Sprintf("must be from 1 to %d", maxUnits))
	}
	for _, n := range []struct {
		name  string
		value float64
	}{
		{"FLEETJOBS_METHODS_PER_SECOND", p.MethodsPerSecond},
		{"FLEETJOBS_TWIN_UPDATES_PER_SECOND", p.TwinUpdatesPerSecond},
		{"FLEETJOBS_QUERIES_PER_MINUTE", p.QueriesPerMinute},
	} {
		if n.value != 0 && !(n.value >= minRate && n.value <= maxRate) {
			f.add(n.name, strconv.FormatFloat(n.value, 'g', -1, 64), fmt.Sprintf("must be 0, for the tier's, or from %g to %d", minRate, maxRate))
		}
	}
}
