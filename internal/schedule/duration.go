package schedule

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time in whole seconds, in JSON as ISO 8601: "PT15M", "P1DT12H", "P2W". A day is 24 hours and a week
// seven days; months and years have no fixed length and are refused.
type Duration time.Duration

var iso8601 = regexp.MustCompile(`^P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})S)?)?$`)

// ParseDuration reads an ISO 8601 duration of weeks, days, hours, minutes and seconds.
func ParseDuration(text string) (Duration, error) {
	parts := iso8601.FindStringSubmatch(text)
	if parts == nil || strings.HasSuffix(text, "P") || strings.HasSuffix(text, "T") {
		return 0, fmt.Errorf(`must be an ISO 8601 duration of whole weeks, days, hours, minutes and seconds, such as "PT15M"`)
	}
	units := []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second}
	var sum time.Duration
	for i, unit := range units {
		if parts[i+1] == "" {
			continue
		}
		n, _ := strconv.ParseInt(parts[i+1], 10, 64) // at most nine digits
		if n > int64((maxDuration-sum)/unit) {
			return 0, fmt.Errorf("must be at most %s", Duration(maxDuration))
		}
		sum += time.Duration(n) * unit
	}
	return Duration(sum), nil
}

// maxDuration keeps sums of durations and times far from overflow.
const maxDuration = 3660 * 24 * time.Hour

func (d Duration) String() string {
	if d == 0 {
		return "PT0S"
	}
	rest := int64(time.Duration(d) / time.Second)
	var b strings.Builder
	b.WriteString("P")
	for _, u := range []struct {
		seconds int64
		letter  string
	}{{86400, "D"}, {0, "T"}, {3600, "H"}, {60, "M"}, {1, "S"}} {
		switch {
		case u.seconds == 0 && rest > 0:
			b.WriteString(u.letter)
		case u.seconds > 0 && rest >= u.seconds:
			fmt.Fprintf(&b, "%d%s", rest/u.seconds, u.letter)
			rest %= u.seconds
		}
	}
	return b.String()
}

// MarshalJSON writes the shortest ISO 8601 form in days and below.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads what ParseDuration takes.
func (d *Duration) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	var err error
	*d, err = ParseDuration(text)
	return err
}

// seconds gives whole seconds.
func (d Duration) seconds() int64 { return int64(time.Duration(d) / time.Second) }
