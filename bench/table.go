package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// row is one figure: the median of its samples.
type row struct {
	name    string // as read by people
	key     string // as in bench.json, after the scenario's name
	unit    string
	samples []float64
	goal    goal
}

// goal is a bound that a figure is meant to keep; the zero value is none.
type goal struct {
	sign  string // ">=" or "<="
	bound float64
}

func atLeast(v float64) goal { return goal{">=", v} }

func atMost(v float64) goal { return goal{"<=", v} }

func (g goal) String() string {
	if g.sign == "" {
		return ""
	}
	return g.sign + " " + number(g.bound)
}

// met reports whether v keeps the goal, nil when there is none.
func (g goal) met(v float64) *bool {
	var met bool
	switch g.sign {
	case ">=":
		met = v >= g.bound
	case "<=":
		met = v <= g.bound
	default:
		return nil
	}
	return &met
}

func (r row) median() float64 {
	sorted := slices.Sorted(slices.Values(r.samples))
	n := len(sorted)
	switch {
	case n == 0:
		return math.NaN()
	case n%2 == 0:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[n/2]
}

// table is what a scenario gives.
type table struct {
	title string
	rows  []row
	notes []string
}

// add appends a figure; the key is the last part of its name in bench.json.
func (t *table) add(key, name, unit string, samples ...float64) *row {
	t.rows = append(t.rows, row{name: name, key: key, unit: unit, samples: samples})
	return &t.rows[len(t.rows)-1]
}

// String lays the table out for a terminal; it is Markdown too.
func (t table) String() string {
	var b strings.Builder
	b.WriteString("### " + t.title + "\n\n")
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(w, "| "+strings.Join(cells, "\t| ")+"\t|") }
	line("figure", "median", "min .. max", "unit", "goal", "met")
	line("---", "---", "---", "---", "---", "---")
	for _, r := range t.rows {
		spread := ""
		if len(r.samples) > 1 {
			spread = number(slices.Min(r.samples)) + " .. " + number(slices.Max(r.samples))
		}
		line(r.name, number(r.median()), spread, r.unit, r.goal.String(), verdict(r.goal.met(r.median())))
	}
	_ = w.Flush() // into memory
	for _, note := range t.notes {
		b.WriteString("\n" + note + "\n")
	}
	return b.String()
}

func verdict(met *bool) string {
	switch {
	case met == nil:
		return ""
	case *met:
		return "yes"
	}
	return "NO"
}

// number writes three significant digits, and whole numbers from 1000 on.
func number(v float64) string {
	if math.Abs(v) >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
