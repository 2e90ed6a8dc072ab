package schedule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	cron "github.com/netresearch/go-cron"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

func TestCronFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cron, want string }{
		{"0 2 * * *", "2026-12-01T02:00:00 2026-12-02T02:00:00"},
		{"30 0 2 * * *", "2026-12-01T02:00:30 2026-12-02T02:00:30"},
		{"*/20 0,12-13 * * ?", "2026-12-01T00:00:00 2026-12-01T00:20:00 2026-12-01T00:40:00 2026-12-01T12:00:00"},
		{"5/25 23 * * *", "2026-12-01T23:05:00 2026-12-01T23:30:00 2026-12-01T23:55:00 2026-12-02T23:05:00"},
		{"0 0 1 jan,JUL *", "2027-01-01T00:00:00 2027-07-01T00:00:00"},
		{"0 0 ? * mon-fri/2", "2026-12-02T00:00:00 2026-12-04T00:00:00 2026-12-07T00:00:00"},
		{"0 0 * * 7", "2026-12-06T00:00:00 2026-12-13T00:00:00"},
		{"0 0 * * FRI-SUN", "2026-12-04T00:00:00 2026-12-05T00:00:00 2026-12-06T00:00:00 2026-12-11T00:00:00"},
		{"0 0 * * SUN-SUN", "2026-12-06T00:00:00 2026-12-13T00:00:00"},
		{"0 0 13 * 5", "2027-08-13T00:00:00 2028-10-13T00:00:00"}, // Friday the 13th: both must match
		{"0 0 1-7 * MON", "2026-12-07T00:00:00 2027-01-04T00:00:00"},
		{"0 0 L * *", "2026-12-31T00:00:00 2027-01-31T00:00:00 2027-02-28T00:00:00"},
		{"0 0 L-2,15 * *", "2026-12-15T00:00:00 2026-12-29T00:00:00 2027-01-15T00:00:00"},
		{"0 0 LW * *", "2026-12-31T00:00:00 2027-01-29T00:00:00"},
		{"0 0 1W * *", "2026-12-01T00:00:00 2027-01-01T00:00:00 2027-02-01T00:00:00 2027-03-01T00:00:00 2027-04-01T00:00:00 2027-05-03T00:00:00"},
		{"0 0 31W * *", "2026-12-31T00:00:00 2027-01-29T00:00:00 2027-03-31T00:00:00"},
		{"0 0 * * TUE#3", "2026-12-15T00:00:00 2027-01-19T00:00:00"},
		{"0 0 * * 5#5", "2027-01-29T00:00:00 2027-04-30T00:00:00"},
		{"0 0 * * friL", "2026-12-25T00:00:00 2027-01-29T00:00:00"},
		{"0 0 29 2 *", "2028-02-29T00:00:00 2032-02-29T00:00:00"},
		{"0 0 29 2 MON", "2044-02-29T00:00:00 2072-02-29T00:00:00 2112-02-29T00:00:00"}, // 2100 is no leap year
	} {
		s := compile(t, fmt.Sprintf(`{"cron":%q}`, c.cron))
		want := strings.Fields(c.want)
		var got []string
		for _, o := range s.NextN(time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC), len(want)) {
			got = append(got, o.Local.String())
		}
		require.Equal(t, want, got, c.cron)
	}
}

func TestCronFaultsNameTheFieldAndTheRule(t *testing.T) {
	t.Parallel()
	for text, rule := range map[string]string{
		"":                                      "must have 5 fields",
		"* * * *":                               "must have 5 fields",
		"CRON_TZ=UTC * * * * * *":               "must have 5 fields",
		"@daily":                                "must have 5 fields",
		"60 * * * *":                            `minute "60": must be *, or numbers from 0 to 59`,
		"* 24 * * *":                            `hour "24"`,
		"* * 0 * *":                             `day-of-month "0"`,
		"* * * 13 *":                            "or names from JAN to DEC",
		"* * * * 8":                             "or names from SUN to SAT",
		"* * * * FOO":                           `day-of-week "FOO"`,
		"99 * * * * *":                          `second "99"`,
		"5-1 * * * *":                           "must have a range that goes up",
		"*/0 * * * *":                           "must have a step from 1 to 59",
		"*/-1 * * * *":                          "must have a step",
		"1,,2 * * * *":                          `minute ""`,
		"? * * * *":                             `minute "?"`,
		"+1 * * * *":                            `minute "+1"`,
		"001 * * * *":                           `minute "001"`,
		"* * 32W * *":                           "before W must be a number from 1 to 31",
		"* * W * *":                             "before W",
		"* * L-31 * *":                          "after L- must be a number from 1 to 30",
		"* * * * L":                             "must have a day before # or L",
		"* * * * MON#6":                         "after # must be a number from 1 to 5",
		"0 0 30 2 *":                            "matches no date",
		"0 0 31 4,6,9,11 *":                     "matches no date",
		"0 0 1 * 1#2":                           "matches no date",
		strings.Repeat("1,", 200) + "1 * * * *": "must have at most 256 characters",
		"77 99 * * *":                           `minute "77": must be *, or numbers from 0 to 59, as lists, ranges and steps; hour "99"`,
	} {
		_, err := schedule.ParseCron(text)
		require.ErrorContains(t, err, rule, text)
	}
}

// genCron draws an expression of five fields that our parser and go-cron's both know.
func genCron(t *rapid.T) string {
	item := func(low, high int) string {
		a := rapid.IntRange(low, high).Draw(t, "a")
		b := rapid.IntRange(a, high).Draw(t, "b")
		step := rapid.IntRange(1, 9).Draw(t, "step")
		return rapid.SampledFrom([]string{
			"*", fmt.Sprint(a), fmt.Sprintf("%d-%d", a, b), fmt.Sprintf("*/%d", step), fmt.Sprintf("%d-%d/%d", a, b, step),
			fmt.Sprintf("%d,%d", a, b),
		}).Draw(t, "item")
	}
	dom, dow := item(1, 31), item(0, 6)
	if rapid.Bool().Draw(t, "special") {
		n := rapid.IntRange(1, 28).Draw(t, "n")
		dom = rapid.SampledFrom([]string{dom, "L", "LW", "L-3", fmt.Sprintf("%dW", n), fmt.Sprintf("L,%d", n)}).Draw(t, "dom")
		dow = rapid.SampledFrom([]string{dow, fmt.Sprintf("%d#%d", n%7, n%5+1), "FRI#L", "MON-FRI"}).Draw(t, "dow")
	}
	return strings.Join([]string{item(0, 59), item(0, 23), dom, item(1, 12), dow}, " ")
}

// In UTC, where no clock jumps, another implementation of the same rules has the same occurrences.
func TestCronAgreesWithGoCronInUTC(t *testing.T) {
	t.Parallel()
	parser := cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Extended).WithMaxSearchYears(60)
	rapid.Check(t, func(t *rapid.T) {
		text := genCron(t)
		theirs, err := parser.Parse("TZ=UTC " + text)
		if err != nil {
			t.Skip(text, err)
		}
		at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 50*365*86400).Draw(t, "s")) * time.Second)
		ours, err := schedule.Recurrence{Cron: strings.Replace(text, "FRI#L", "FRIL", 1)}.Compile()
		if err != nil {
			require.True(t, theirs.Next(at).IsZero(), "%s: %s", text, err)
			return
		}
		for range 20 {
			o, ok := ours.Next(at)
			want := theirs.Next(at)
			require.Equal(t, !want.IsZero(), ok, "%s after %s", text, at)
			if !ok {
				return
			}
			require.Equal(t, want.UTC(), o.At, "%s after %s", text, at)
			at = o.At
		}
	})
}
