package api

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"
)

// csvColumns is the header row. New columns go to the end.
func csvColumns() []string {
	return []string{
		"deviceId", "status", "attempts", "startTime", "endTime", "deviceStatus", "payload", "truncated", "errorCode", "errorMessage",
		"moduleId",
	}
}

// encodeCSV writes rows under a header row, as RFC 4180 has it.
func encodeCSV(views []executionView, withHub bool) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	rows := append(make([][]string, 0, len(views)+1), csvColumns())
	for i := range views {
		rows = append(rows, views[i].row())
	}
	if withHub {
		rows[0] = append(rows[0], hubParam)
		for i := range views {
			rows[i+1] = append(rows[i+1], views[i].Hub)
		}
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, fmt.Errorf("writing CSV: %w", err)
	}
	return b.Bytes(), nil
}

// row gives the cells of v. Those that a device or a person wrote are made safe.
func (v *executionView) row() []string {
	cells := []string{safeCell(v.DeviceID), v.Status, strconv.Itoa(v.Attempts), "", "", "", "", "", "", "", safeCell(v.ModuleID)}
	if !v.StartTime.IsZero() {
		cells[3] = v.StartTime.String()
	}
	if !v.EndTime.IsZero() {
		cells[4] = v.EndTime.String()
	}
	if v.DeviceStatus != 0 {
		cells[5] = strconv.Itoa(v.DeviceStatus)
	}
	cells[6] = safeCell(string(v.Payload) + v.PayloadText)
	if v.Truncated {
		cells[7] = "true"
	}
	if v.Error != nil {
		cells[8], cells[9] = v.Error.Code, safeCell(v.Error.Message)
	}
	return cells
}

// formulaStarts are the characters by which spreadsheets take a cell for a formula, wide forms included
// (https://owasp.org/www-community/attacks/CSV_Injection).
const formulaStarts = "=+-@\t\r\n＝＋－＠"

// safeCell puts an apostrophe before a cell that a spreadsheet would carry out.
func safeCell(text string) string {
	if first, size := utf8.DecodeRuneInString(text); size > 0 && strings.ContainsRune(formulaStarts, first) {
		return "'" + text
	}
	return text
}

// prefersCSV reports whether an Accept header wants text/csv rather than JSON: with a higher quality, or with the same and
// named more closely. Where it fits neither, the answer is JSON, as RFC 9110, 12.5.1, allows.
func prefersCSV(accept []string) bool {
	var asCSV, asJSON preference
	for _, value := range accept {
		for one := range strings.SplitSeq(value, ",") {
			media, attrs, err := mime.ParseMediaType(one)
			if err != nil {
				continue
			}
			q := 1.0
			if text, ok := attrs["q"]; ok {
				if q, err = strconv.ParseFloat(text, 64); err != nil {
					continue
				}
			}
			asCSV.consider(media, q, "text/csv", "text/*", "*/*")
			asJSON.consider(media, q, jsonType, "application/*", "*/*")
		}
	}
	return asCSV.q > asJSON.q || asCSV.q > 0 && asCSV.q == asJSON.q && asCSV.closeness > asJSON.closeness
}

// preference is what an Accept header says about one media type: the closest range counts.
type preference struct {
	q         float64
	closeness int
}

func (p *preference) consider(media string, q float64, ranges ...string) {
	for i, r := range ranges {
		if closeness := len(ranges) - i; media == r && closeness > p.closeness {
			p.q, p.closeness = q, closeness
		}
	}
}
