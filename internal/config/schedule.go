package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	fieldSize  = 60 // values of a second or minute field
	hourLength = fieldSize * fieldSize
)

// largestGap returns the longest time between two occurrences of a six-field
// NCRONTAB expression, as the Functions host reads it:
// https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
//
// Hours, days, months and weekdays must be "*": any restriction there makes a
// gap of an hour or more. So one hour repeats for ever and holds every gap.
func largestGap(spec string) (time.Duration, error) {
	fields := strings.Fields(spec)
	if len(fields) != 6 {
		return 0, errors.New("must have six fields: second minute hour day month day-of-week")
	}
	for _, field := range fields[2:] {
		if field != "*" {
			return 0, errors.New("must have * for hour, day, month and day-of-week, to fire in every hour")
		}
	}
	seconds, err := cronField(fields[0])
	if err != nil {
		return 0, fmt.Errorf("second %q: %w", fields[0], err)
	}
	minutes, err := cronField(fields[1])
	if err != nil {
		return 0, fmt.Errorf("minute %q: %w", fields[1], err)
	}
	first, last, gap := -1, 0, 0
	for at := range hourLength {
		if !minutes[at/fieldSize] || !seconds[at%fieldSize] {
			continue
		}
		if first < 0 {
			first = at
		} else {
			gap = max(gap, at-last)
		}
		last = at
	}
	gap = max(gap, first+hourLength-last) // into the next hour
	return time.Duration(gap) * time.Second, nil
}

// cronField returns the values that a second or minute field matches: a list
// of *, n, n-m, each with an optional /step. Every field matches something.
func cronField(field string) (values [fieldSize]bool, err error) {
	for item := range strings.SplitSeq(field, ",") {
		span, step, stepped := strings.Cut(item, "/")
		every := 1
		if stepped {
			if every, err = cronNumber(step); err != nil || every == 0 {
				return values, errors.New("must have a step from 1 to 59")
			}
		}
		from, to, err := cronSpan(span, stepped)
		if err != nil {
			return values, err
		}
		for v := from; v <= to; v += every {
			values[v] = true
		}
	}
	return values, nil
}

func cronSpan(span string, stepped bool) (from, to int, err error) {
	if span == "*" {
		return 0, fieldSize - 1, nil
	}
	low, high, ranged := strings.Cut(span, "-")
	if from, err = cronNumber(low); err != nil {
		return 0, 0, err
	}
	switch {
	case ranged:
		to, err = cronNumber(high)
	case stepped:
		to = fieldSize - 1
	default:
		to = from
	}
	if err == nil && to < from {
		err = errors.New("must have a range that goes up")
	}
	return from, to, err
}

func cronNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n >= fieldSize {
		return 0, errors.New("must be *, or numbers from 0 to 59, ranges and steps")
	}
	return int(n), nil
}
