package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/tools/infracheck/kql"
)

// eventsFile has a line of each event that the handler logs, kept by the package that logs them.
const eventsFile = "internal/telemetry/logline/testdata/events.jsonl"

// hostLines are lines of the Functions host that stand between the handler's in the table traces. The last is written when a
// message is moved to the poison queue: QueueProcessor.cs of
// https://github.com/Azure/azure-sdk-for-net/tree/main/sdk/storage/Microsoft.Azure.WebJobs.Extensions.Storage.Queues
func hostLines() []string {
	return []string{
		"Executing 'Functions.RunShard' (Reason='New queue message detected on 'fleetjobs-work'.', Id=5d9b2f4e-3b4e-4cb0-9f5c-1a7c3f0f6f6a)",
		"Host lock lease acquired by instance ID '0000000000000000000000000A1B2C3D'.",
		"Message has reached MaxDequeueCount of 5. Moving message to queue 'fleetjobs-work-poison'.",
	}
}

// readQueries reads the queries of infra and the sample rows that they are tried on.
func (p *project) readQueries(root string) error {
	names, err := filepath.Glob(filepath.Join(root, "infra", "queries", "*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read a query: %w", err)
		}
		p.texts["infra/queries/"+filepath.Base(name)] = string(content)
	}
	file, err := os.Open(filepath.Join(root, filepath.FromSlash(eventsFile)))
	if err != nil {
		return fmt.Errorf("read the sample lines: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var line struct{ Time time.Time }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("read %s: %w", eventsFile, err)
		}
		p.traces = append(p.traces, trace(line.Time, "Host.Function.Console", lines.Text()))
		for _, text := range hostLines() {
			p.traces = append(p.traces, trace(line.Time, "Host.General", text))
		}
	}
	return lines.Err()
}

// trace is a row of the table traces: https://learn.microsoft.com/azure/azure-monitor/reference/tables/apptraces
func trace(at time.Time, category, message string) kql.Row {
	return kql.Row{
		"timestamp": at, "message": message, "severityLevel": int64(1), "itemCount": int64(1), "operation_Id": "",
		"customDimensions": kql.Dynamic{Value: map[string]any{"Category": category}},
	}
}

// checkQueries tries every query on the sample rows, and looks that templates load files that exist and all of them.
func (p *project) checkQueries() {
	loaded := map[string]bool{}
	for _, f := range p.sorted() {
		f.tree.walk(func(n *node) bool {
			if name, ok := loadedText(n); ok {
				full := path.Join(path.Dir(f.path), name)
				if _, exists := p.texts[full]; !exists {
					p.fault(f, n, "queries", "there is no file %q", name)
				}
				loaded[full] = true
			}
			if n.Type == "object" {
				p.checkMeasure(f, n)
				p.checkChart(f, n)
			}
			return true
		})
	}
	for name := range p.texts {
		at := &file{path: name}
		if !loaded[name] {
			p.fault(at, nil, "queries", "no template loads it")
		}
		if _, err := p.try(name); err != nil {
			for fault := range strings.SplitSeq(err.Error(), "\n") {
				p.fault(at, nil, "queries", "%s", fault)
			}
		}
	}
}

// loadedText returns the file that a call of loadTextContent names.
func loadedText(n *node) (string, bool) {
	if n.Type != "call_expression" || fieldOf(n, "function").Text != "loadTextContent" {
		return "", false
	}
	args := fieldOf(n, "arguments").named()
	if len(args) != 1 {
		return "", false
	}
	return literal(args[0]), true
}

// try runs a query on the sample rows.
func (p *project) try(name string) ([]kql.Row, error) {
	query, err := kql.Parse(p.texts[name])
	if err != nil {
		return nil, err
	}
	if query.Table != "traces" {
		return nil, fmt.Errorf("line 1: there are no sample rows of the table %s", query.Table)
	}
	rows, err := query.Run(p.traces)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("line 1: the query finds nothing in the sample rows")
	}
	return rows, err
}

// checkMeasure asks of an object with a query and a column, as alert rules are made of, that the query has that column and it
// is a number.
func (p *project) checkMeasure(f *file, object *node) {
	query, column := property(object, "query"), literal(property(object, "column"))
	if query == nil || column == "" {
		return
	}
	name, ok := loadedText(query)
	if !ok {
		p.fault(f, query, "queries", "an alert's query must be a file, so that it can be tried")
		return
	}
	rows, err := p.try(path.Join(path.Dir(f.path), name))
	if err != nil {
		return // which is reported for the file
	}
	switch rows[0][column].(type) {
	case int64, float64:
	default:
		p.fault(f, object, "queries", "%s has no column %s of numbers", name, column)
	}
}

// checkChart asks of an object with a query and a chart, as the workbook is made of, that the query has times for its axis.
func (p *project) checkChart(f *file, object *node) {
	query, kind := property(object, "query"), literal(property(object, "visualization"))
	if query == nil || !strings.HasSuffix(kind, "chart") {
		return
	}
	name, _ := loadedText(query)
	rows, err := p.try(path.Join(path.Dir(f.path), name))
	if err != nil {
		return // which is reported for the file
	}
	for _, value := range rows[0] {
		if _, ok := value.(time.Time); ok {
			return
		}
	}
	p.fault(f, object, "queries", "%s has no times to draw a %s over", name, kind)
}
