package api

import (
	"bytes"
	"encoding/csv"
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// ExportCSV gives executions as the API's CSV has them, under a header row when they are the first.
func ExportCSV(executions []job.Execution, first bool) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	rows := make([][]string, 0, len(executions)+1)
	if first {
		rows = append(rows, csvColumns())
	}
	for i := range executions {
		v := viewOf(&executions[i])
		rows = append(rows, v.row())
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, fmt.Errorf("writing CSV: %w", err)
	}
	return b.Bytes(), nil
}

// ExportNDJSON gives executions as the API's JSON has them, one on each line.
func ExportNDJSON(executions []job.Execution, _ bool) ([]byte, error) {
	var b bytes.Buffer
	for i := range executions {
		line, err := encode(viewOf(&executions[i]))
		if err != nil {
			return nil, fmt.Errorf("writing a line of JSON: %w", err)
		}
		b.Write(bytes.TrimRight(line, "\n"))
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}
