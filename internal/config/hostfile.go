package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// HostFile is what the handler needs to know of host.json.
type HostFile struct {
	// FunctionTimeout is as written: "hh:mm:ss", "d.hh:mm:ss" or "-1"; empty if
	// absent.
	FunctionTimeout string
}

// ReadHostFile reads host.json in the app's root directory.
func ReadHostFile(root string) (HostFile, error) {
	b, err := os.ReadFile(filepath.Join(root, "host.json"))
	if err != nil {
		return HostFile{}, fmt.Errorf("read host.json: %w", err)
	}
	var raw struct {
		FunctionTimeout json.RawMessage `json:"functionTimeout"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), &raw); err != nil {
		return HostFile{}, fmt.Errorf("parse host.json: %w", err)
	}
	value := strings.Trim(string(raw.FunctionTimeout), `"`) // the host takes -1 as a number too
	if value == "null" {
		value = ""
	}
	return HostFile{FunctionTimeout: value}, nil
}

// What the host assumes without a functionTimeout: 30 minutes, and 5 on the
// Consumption plan (where 10 is the most, so that fleetjobs cannot run there):
// https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout
const (
	defaultFunctionTimeout     = "00:30:00"
	consumptionFunctionTimeout = "00:05:00"
	consumptionSKU             = "Dynamic"
)

// checkFunctionTimeout refuses a host that would kill the process, and every
// neighbour in it, while a call that was started in time still runs.
func (c *Config) checkFunctionTimeout(f *faults) {
	if c.Platform.AppRoot == "" {
		return
	}
	name, value := "AzureFunctionsJobHost__functionTimeout", c.Platform.FunctionTimeout
	if value == "" {
		file, err := ReadHostFile(c.Platform.AppRoot)
		if err != nil {
			f.add("FUNCTIONS_APP_ROOT_PATH", c.Platform.AppRoot, err.Error())
			return
		}
		name, value = "functionTimeout in host.json", file.FunctionTimeout
	}
	switch {
	case value != "":
	case c.Platform.SKU == consumptionSKU:
		name, value = "functionTimeout (default of the Consumption plan)", consumptionFunctionTimeout
	default:
		name, value = "functionTimeout (default)", defaultFunctionTimeout
	}
	timeout, err := parseTimeout(value)
	if err != nil {
		f.add(name, value, err.Error())
		return
	}
	least := c.Slice() + LongestCall + TimeoutMargin
	if timeout != 0 && timeout < least {
		f.add(name, value, fmt.Sprintf("must be at least %v: FLEETJOBS_SLICE_SECONDS, the longest device call (%v) and a margin of %v",
			least, LongestCall, TimeoutMargin))
	}
	c.FunctionTimeout = timeout
}

// timeSpan is what .NET reads as a TimeSpan, up to lengths that make sense.
var timeSpan = regexp.MustCompile(`^(?:(\d{1,5})\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d{1,7})?)?$`)

// parseTimeout reads a functionTimeout; 0 stands for "-1", no limit. Fractions
// of a second are dropped.
func parseTimeout(s string) (time.Duration, error) {
	if s == "-1" {
		return 0, nil
	}
	m := timeSpan.FindStringSubmatch(s)
	if m == nil {
		return 0, errors.New("must be hh:mm:ss, or -1 for no limit")
	}
	var n [4]int // days, hours, minutes, seconds
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // digits, or empty for 0
	}
	if n[1] > 23 || n[2] > 59 || n[3] > 59 {
		return 0, errors.New("must have hours up to 23, minutes and seconds up to 59")
	}
	d := time.Duration(n[0])*24*time.Hour + time.Duration(n[1])*time.Hour +
		time.Duration(n[2])*time.Minute + time.Duration(n[3])*time.Second
	if d == 0 {
		return 0, errors.New("must be longer than zero; -1 for no limit")
	}
	return d, nil
}
