// Package logline owns the lines that the handler writes to stdout: the ids that each one carries, taken from its context so
// that no caller forgets them, and the events, whose names and members queries in Azure rely on. docs/monitoring.md is
// their contract, and testdata/events.jsonl shows a line of each.
//
// It decides nothing about when something is worth a line, and it knows neither exporters nor metrics.
package logline
