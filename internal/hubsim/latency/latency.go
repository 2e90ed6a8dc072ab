// Package latency owns the distributions of waiting times that the IoT Hub simulator and its simulated fleet use, and their
// text form. It draws nothing by itself: callers bring the uniform number, so that a fleet can be the same in every run.
package latency

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Kind tells the distributions apart.
type Kind uint8

const (
	// None is no waiting at all.
	None Kind = iota
	// Fixed is always Low.
	Fixed
	// Uniform lies between Low and High.
	Uniform
	// Lognormal has the median Low and the shape Sigma; it is cut off at High if that is not zero.
	Lognormal
)

// Distribution is a distribution of waiting times. The zero value is no waiting. Its text form, also used in JSON, is one of
//
//	0                         no waiting
//	50ms                      fixed
//	10ms..200ms               uniform
//	lognormal(80ms,0.6)       median 80 ms, sigma 0.6
//	lognormal(80ms,0.6,5s)    the same, never more than 5 s
type Distribution struct {
	Kind      Kind
	Low, High time.Duration
	Sigma     float64
}

// FixedAt returns the distribution that is always d.
func FixedAt(d time.Duration) Distribution { return Distribution{Kind: Fixed, Low: d} }

// At returns the waiting time at quantile u, which must lie in [0, 1).
func (d Distribution) At(u float64) time.Duration {
	switch d.Kind {
	case Fixed:
		return d.Low
	case Uniform:
		return d.Low + time.Duration(u*float64(d.High-d.Low))
	case Lognormal:
		z := math.Sqrt2 * math.Erfinv(2*math.Min(math.Max(u, 1e-9), 1-1e-9)-1)
		t := time.Duration(float64(d.Low) * math.Exp(d.Sigma*z))
		if d.High > 0 && t > d.High {
			return d.High
		}
		return t
	default:
		return 0
	}
}

// Parse reads the text form of a distribution.
func Parse(text string) (Distribution, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "0" {
		return Distribution{}, nil
	}
	if inner, ok := strings.CutPrefix(text, "lognormal("); ok {
		return parseLognormal(text, inner)
	}
	low, high, isRange := strings.Cut(text, "..")
	from, err := duration(text, low)
	if err != nil {
		return Distribution{}, err
	}
	if !isRange {
		return FixedAt(from), nil
	}
	to, err := duration(text, high)
	if err != nil {
		return Distribution{}, err
	}
	if to < from {
		return Distribution{}, fmt.Errorf("parsing latency %q: the range ends before it begins", text)
	}
	return Distribution{Kind: Uniform, Low: from, High: to}, nil
}

func parseLognormal(text, inner string) (Distribution, error) {
	inner, closed := strings.CutSuffix(inner, ")")
	parts := strings.Split(inner, ",")
	if !closed || len(parts) < 2 || len(parts) > 3 {
		return Distribution{}, fmt.Errorf("parsing latency %q: want lognormal(median,sigma) or lognormal(median,sigma,max)", text)
	}
	median, err := duration(text, parts[0])
	if err != nil {
		return Distribution{}, err
	}
	sigma, err := strconv.ParseFloat(strings.TrimSpace(parts[1]), 64)
	if err != nil || !(sigma >= 0 && sigma <= 10) {
		return Distribution{}, fmt.Errorf("parsing latency %q: sigma must be a number from 0 to 10", text)
	}
	d := Distribution{Kind: Lognormal, Low: median, Sigma: sigma}
	if len(parts) == 3 {
		if d.High, err = duration(text, parts[2]); err != nil {
			return Distribution{}, err
		}
	}
	return d, nil
}

func duration(text, part string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(part))
	if err != nil || d < 0 {
		return 0, fmt.Errorf("parsing latency %q: %q is no duration such as 50ms", text, part)
	}
	return d, nil
}

// String returns the text form.
func (d Distribution) String() string {
	switch d.Kind {
	case Fixed:
		return d.Low.String()
	case Uniform:
		return d.Low.String() + ".." + d.High.String()
	case Lognormal:
		text := "lognormal(" + d.Low.String() + "," + strconv.FormatFloat(d.Sigma, 'g', -1, 64)
		if d.High > 0 {
			text += "," + d.High.String()
		}
		return text + ")"
	default:
		return "0"
	}
}

// MarshalText implements encoding.TextMarshaler.
func (d Distribution) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Distribution) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
