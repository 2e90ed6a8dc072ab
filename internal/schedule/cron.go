package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxCronLen is the longest cron expression, in bytes.
const MaxCronLen = 256

// Cron is a parsed cron expression. A date must match day-of-month, month and day-of-week, all three, as in NCRONTAB and
// Temporal and unlike Unix cron, where one of the two days is enough when both are given.
type Cron struct {
	second, minute, hour, month uint64 // bit n is value n

	dom      uint64 // days 1 to 31
	fromLast uint64 // bit n: n days before the month's last day
	nearest  uint64 // bit n: the weekday nearest to day n
	lastWork bool   // the month's last weekday

	dow     uint64   // Sunday is 0
	nth     [7]uint8 // bit n: the n-th such day of the month
	lastDow uint64   // the last such day of the month
}

// cronField is what may stand in one field.
type cronField struct {
	name      string
	low, high int
	names     []string // of low and what follows it
}

func (f cronField) days() bool { return f.name == "day-of-month" || f.name == "day-of-week" }

// ParseCron reads five fields (minute, hour, day-of-month, month, day-of-week) or six, with seconds before them. Fields hold
// lists of *, n, a-b, each with an optional /step, and English names of months and days (JAN, MON). Day-of-month also takes
// L (last day), L-n, LW (last weekday), nW (weekday nearest to day n, in the same month); day-of-week d#n (n-th d of the month)
// and dL (last d of the month), with Sunday as 0 or 7; both take ? for *. It refuses what no date ever matches.
func ParseCron(text string) (*Cron, error) {
	if len(text) > MaxCronLen {
		return nil, fmt.Errorf("must have at most %d characters", MaxCronLen)
	}
	fields := strings.Fields(text)
	if len(fields) != 5 && len(fields) != 6 {
		return nil, errors.New("must have 5 fields (minute hour day-of-month month day-of-week) or 6 (second first)")
	}
	c := &Cron{second: 1}
	if len(fields) == 6 {
		var err error
		if c.second, err = (cronField{name: "second", high: 59}).set(fields[0], nil); err != nil {
			return nil, err
		}
		fields = fields[1:]
	}
	var faults [5]error
	c.minute, faults[0] = cronField{name: "minute", high: 59}.set(fields[0], nil)
	c.hour, faults[1] = cronField{name: "hour", high: 23}.set(fields[1], nil)
	c.dom, faults[2] = cronField{name: "day-of-month", low: 1, high: 31}.set(fields[2], c.specialDom)
	c.month, faults[3] = cronField{
		name: "month", low: 1, high: 12,
		names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"},
	}.set(fields[3], nil)
	c.dow, faults[4] = dowField().set(fields[4], c.specialDow)
	if err := errors.Join(faults[:]...); err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if c.dow&(1<<7) != 0 {
		c.dow = c.dow&^(1<<7) | 1
	}
	if _, ok := c.next(0); !ok {
		return nil, errors.New("matches no date: day-of-month, month and day-of-week must all match")
	}
	return c, nil
}

func dowField() cronField {
	return cronField{
		name: "day-of-week", high: 7, names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"},
	}
}

// set reads a list. special takes the items that only this field knows, and reports whether it did.
func (f cronField) set(text string, special func(item string) (bool, error)) (bits uint64, err error) {
	for item := range strings.SplitSeq(text, ",") {
		if special != nil {
			taken, err := special(strings.ToUpper(item))
			if err != nil {
				return 0, f.errorf(item, "%w", err)
			}
			if taken {
				continue
			}
		}
		some, err := f.item(item)
		if err != nil {
			return 0, err
		}
		bits |= some
	}
	return bits, nil
}

func (f cronField) errorf(item, format string, args ...any) error {
	return fmt.Errorf("%s %q: %w", f.name, shown(item), fmt.Errorf(format, args...))
}

// item reads *, n, a-b, each with an optional /step.
func (f cronField) item(item string) (bits uint64, err error) {
	span, stepText, stepped := strings.Cut(item, "/")
	step := 1
	if stepped {
		if step, err = number(stepText, 1, f.high); err != nil {
			return 0, f.errorf(item, "must have a step from 1 to %d", f.high)
		}
	}
	from, to, err := f.span(span, stepped)
	if err != nil {
		return 0, f.errorf(item, "%w", err)
	}
	for v := from; v <= to; v += step {
		bits |= 1 << v
	}
	return bits, nil
}

func (f cronField) span(span string, open bool) (from, to int, err error) {
	top := f.high
	if f.names != nil && f.low == 0 {
		top = 6 // 7 is Sunday once more
	}
	if span == "*" || span == "?" && f.days() {
		return f.low, top, nil
	}
	low, high, ranged := strings.Cut(span, "-")
	if from, err = f.value(low); err != nil {
		return 0, 0, err
	}
	to = from
	switch {
	case ranged:
		if to, err = f.value(high); err != nil {
			return 0, 0, err
		}
		if to == 0 && from > 0 && top == 6 {
			to = 7 // FRI-SUN
		}
	case open:
		to = max(from, top)
	}
	if to < from {
		return 0, 0, errors.New("must have a range that goes up")
	}
	return from, to, nil
}

// value reads a number or a name.
func (f cronField) value(text string) (int, error) {
	if i := slices.Index(f.names, strings.ToUpper(text)); i >= 0 {
		return f.low + i, nil
	}
	n, err := number(text, f.low, f.high)
	if err != nil {
		rule := fmt.Sprintf("must be *, or numbers from %d to %d", f.low, f.high)
		if f.names != nil {
			rule += fmt.Sprintf(" or names from %s to %s", f.names[0], f.names[len(f.names)-1])
		}
		return 0, errors.New(rule + ", as lists, ranges and steps")
	}
	return n, nil
}

// number reads one or two digits.
func number(text string, low, high int) (int, error) {
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || len(text) > 2 || int(n) < low || int(n) > high {
		return 0, fmt.Errorf("must be a number from %d to %d", low, high)
	}
	return int(n), nil
}

// specialDom takes L, L-n, LW and nW.
func (c *Cron) specialDom(item string) (bool, error) {
	switch {
	case item == "L":
		c.fromLast |= 1
	case item == "LW":
		c.lastWork = true
	case strings.HasPrefix(item, "L-"):
		n, err := number(item[2:], 1, 30)
		if err != nil {
			return false, fmt.Errorf("after L- %w", err)
		}
		c.fromLast |= 1 << n
	case strings.HasSuffix(item, "W"):
		n, err := number(item[:len(item)-1], 1, 31)
		if err != nil {
			return false, fmt.Errorf("before W %w", err)
		}
		c.nearest |= 1 << n
	default:
		return false, nil
	}
	return true, nil
}

// specialDow takes d#n and dL.
func (c *Cron) specialDow(item string) (bool, error) {
	name, nth, ok := strings.Cut(item, "#")
	if !ok {
		if name, ok = strings.CutSuffix(item, "L"); !ok {
			return false, nil
		}
	}
	d, err := dowField().value(name)
	if err != nil {
		return false, errors.New("must have a day before # or L, such as FRI#2 or FRIL")
	}
	d %= 7
	if !strings.Contains(item, "#") {
		c.lastDow |= 1 << d
		return true, nil
	}
	n, err := number(nth, 1, 5)
	if err != nil {
		return false, fmt.Errorf("after # %w", err)
	}
	c.nth[d] |= 1 << n
	return true, nil
}
