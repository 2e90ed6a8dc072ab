package price_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/price"
)

var update = flag.Bool("update", false, "write the tables of docs/deploy.md")

const page = "../../docs/deploy.md"

// requireTable compares what stands on the page between two comments with what is computed, or writes it there.
func requireTable(t *testing.T, name, want string) {
	t.Helper()
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(content), "<!-- "+name+": go test ./internal/price -update -->\n")
	require.True(t, found, "no place for %s", name)
	got, after, found := strings.Cut(rest, "<!-- end -->")
	require.True(t, found, "no end of %s", name)
	if *update {
		text := strings.TrimSuffix(string(content), rest) + want + "<!-- end -->" + after
		require.NotEmpty(t, before)
		require.NoError(t, os.WriteFile(page, []byte(text), 0o644))
		return
	}
	require.Empty(t, cmp.Diff(want, got), "docs/deploy.md is out of date: run go test ./internal/price -update")
}

// grouped writes a whole number with commas.
func grouped(n float64) string {
	text := strconv.FormatFloat(n, 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// What one tick of an idle app uses: four queries and a write, as internal/dispatch makes them; its log lines are estimated.
const (
	tickTables   = 6
	tickLogBytes = 4000
	alertRules   = 4
)

func TestTablesOfTheBillAreComputed(t *testing.T) { //nolint:paralleltest // the two tables are on one page
	idle := func(memoryMB, alwaysReady int, tick time.Duration) price.Usage {
		return price.Idle{
			MemoryMB: memoryMB, AlwaysReady: alwaysReady, Tick: tick, Poll: time.Second,
			TickTables: tickTables, TickLogBytes: tickLogBytes, AlertRules: alertRules,
		}.Month()
	}
	apps := []struct {
		title string
		usage price.Usage
	}{
		{"2,048 MB", idle(2048, 0, 10*time.Second)},
		{"2,048 MB, 1 always ready", idle(2048, 1, 10*time.Second)},
		{"512 MB", idle(512, 0, 10*time.Second)},
		{"512 MB, 1 always ready", idle(512, 1, 10*time.Second)},
		{"512 MB, 1 always ready, timer every minute", idle(512, 1, time.Minute)},
	}
	prices := price.List()
	var table strings.Builder
	row := func(first string, cell func(price.Usage) string) {
		table.WriteString("| " + first + " |")
		for _, app := range apps {
			table.WriteString(" " + cell(app.usage) + " |")
		}
		table.WriteString("\n")
	}
	table.WriteString("| USD a month |")
	for _, app := range apps {
		table.WriteString(" " + app.title + " |")
	}
	table.WriteString("\n|---|" + strings.Repeat("---|", len(apps)) + "\n")
	for meter := price.OnDemandTime; meter <= price.LogAlertRule15Min; meter++ {
		used := false
		for _, app := range apps {
			used = used || app.usage[meter] > 0
		}
		if !used {
			continue
		}
		row(prices[meter].Name, func(u price.Usage) string {
			if u[meter] == 0 {
				return "-"
			}
			one := price.Usage{meter: u[meter]}
			quantity := grouped(u[meter])
			if u[meter] < 100 {
				quantity = fmt.Sprintf("%.3g", u[meter])
			}
			unit := prices[meter].Unit
			if unit == "rule" {
				unit = "rules"
			}
			return fmt.Sprintf("%.2f (%s %s)", one.USD(false), quantity, unit)
		})
	}
	row("**sum**", func(u price.Usage) string { return fmt.Sprintf("**%.2f**", u.USD(false)) })
	row("sum if the free units are still there", func(u price.Usage) string { return fmt.Sprintf("%.2f", u.USD(true)) })
	requireTable(t, "idle", table.String())

	table.Reset()
	table.WriteString("| meter | USD | free a month | region | read |\n|---|---|---|---|---|\n")
	for meter := price.OnDemandTime; meter <= price.LogAlertRule15Min; meter++ {
		p := prices[meter]
		free := "-"
		if p.Free > 0 {
			free = grouped(p.Free) + " " + p.Unit
		}
		per := p.Unit
		if p.Per > 1 {
			per = grouped(p.Per) + " " + p.Unit
		}
		fmt.Fprintf(&table, "| %s | %s per %s | %s | %s | [%s](%s) |\n", p.Name, strings.TrimRight(fmt.Sprintf("%.6f", p.USD), "0"), per, free, p.Region, p.Read, p.Found)
	}
	requireTable(t, "prices", table.String())
}

// The tables say what the template and host.json make of an app.
func TestTheIdleAppIsTheOneThatIsDeployed(t *testing.T) {
	t.Parallel()
	for file, line := range map[string]string{
		"../../infra/main.bicep": "param timerSchedule string = '*/10 * * * * *'",
		"../../host.json":        `"maxPollingInterval": "00:00:01"`,
	} {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(content), line)
	}
}
