package cli

import (
	"encoding/json"
	"flag"
	"fmt"
)

// listing is what commands that print lists have in common: how much of a list to print, and how.
type listing struct {
	limit     int
	all, json bool
}

func (l *listing) flags(fs *flag.FlagSet, of string) {
	fs.IntVar(&l.limit, "limit", 20, "how `many` "+of+" to list")
	fs.BoolVar(&l.all, "all", false, "list all")
	fs.BoolVar(&l.json, "json", false, "print a JSON array of "+of)
}

// noLimit is more than any list has.
const noLimit = int(^uint(0) >> 1)

func pageLimit(limit int, all bool) (int, error) {
	switch {
	case all:
		return noLimit, nil
	case limit < 1:
		return 0, usagef("give a number from 1, or --all", "--limit %d is too small", limit)
	}
	return limit, nil
}

// page is how many rows to ask the service for at once, of which it gives most at the most.
func (l *listing) page(most int) int {
	if l.all {
		return most
	}
	return min(max(1, l.limit), most)
}

// table is how a list of T is printed.
type table[T any] struct {
	none   string // what to remark of an empty list
	header []string
	row    func(item *T) []string
	raw    func(item *T) json.RawMessage // the item as the service sent it
}

// printPages reads pages, each with the continuation that the one before gave, as far as l wants them, and prints their items.
func printPages[T any](m *Main, l listing, t table[T], next func(continuation string) (items []T, after string, err error)) error {
	most, err := pageLimit(l.limit, l.all)
	if err != nil {
		return err
	}
	var items []T
	continuation, more := "", true
	for more && len(items) < most {
		page, after, err := next(continuation)
		if err != nil {
			return err
		}
		items = append(items, page...)
		continuation, more = after, after != ""
	}
	if len(items) > most {
		items, more = items[:most], true
	}
	if l.json {
		raw := make([]json.RawMessage, len(items))
		for i := range items {
			raw[i] = t.raw(&items[i])
		}
		return m.printArray(raw)
	}
	return t.print(m, items, more)
}

func (t table[T]) print(m *Main, items []T, more bool) error {
	if len(items) == 0 {
		m.remark("%s", t.none)
		return nil
	}
	rows := make([][]string, len(items))
	for i := range items {
		rows[i] = t.row(&items[i])
	}
	if err := m.table(t.header, rows); err != nil {
		return err
	}
	if more {
		m.remark("there are more; use --limit or --all")
	}
	return nil
}

// printArray writes a JSON array.
func (m *Main) printArray(items []json.RawMessage) error {
	if len(items) == 0 {
		items = []json.RawMessage{}
	}
	text, err := json.Marshal(items)
	if err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	return m.printJSON(text)
}
