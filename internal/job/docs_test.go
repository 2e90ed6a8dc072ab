package job_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

var update = flag.Bool("update", false, "write docs/states.md and docs/limits.md")

// requirePage compares a page of docs with what the code says, or writes it.
func requirePage(t *testing.T, name, want string) {
	t.Helper()
	path := "../../docs/" + name
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Fatalf("%s is out of date: run go test ./internal/job -run TestDocs -update\n%s", path, diff)
	}
}

// constants gives the exported constants of a file, in order, and the comments behind them.
func constants(t *testing.T, file string) (names []string, comments map[string]string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	require.NoError(t, err)
	comments = map[string]string{}
	for _, decl := range parsed.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value := spec.(*ast.ValueSpec)
			for _, name := range value.Names {
				if name.IsExported() {
					names = append(names, name.Name)
					comments[name.Name] = strings.TrimSpace(value.Comment.Text())
				}
			}
		}
	}
	return names, comments
}

func TestDocsOfStatesAreThoseOfTheTables(t *testing.T) {
	t.Parallel()
	_, words := constants(t, "states.go")
	for _, file := range []string{"run.go", "rolling.go"} {
		_, more := constants(t, file)
		maps.Copy(words, more)
	}
	waits := map[string]string{}
	for _, w := range job.Waits() {
		waits[string(w)] = words[waitConstants[w]]
	}
	var b strings.Builder
	b.WriteString(`# States

This page is written by a test from the tables in ` + "`internal/job`" + `: edit those, then run
` + "`go test ./internal/job -run TestDocs -update`" + `.

## Jobs and runs

A job shows the status of its run. Transitions are made by one function; any other is refused.

`)
	statuses := job.Statuses()
	diagram(&b, statuses, job.StatusScheduled, job.Status.Ended, job.Status.CanBecome)
	b.WriteString("\n| status | meaning | may become |\n|---|---|---|\n")
	for _, s := range statuses {
		row(&b, string(s), words["Status"+title(string(s))], next(statuses, s, job.Status.CanBecome))
	}
	b.WriteString("\n`endReason` says how a run came to its end:\n\n| endReason | meaning |\n|---|---|\n")
	for _, r := range []job.EndReason{job.EndFinished, job.EndCancelled, job.EndTimeLimit, job.EndAborted, job.EndWindowClosed, job.EndSuperseded, job.EndUnplannable} {
		row(&b, string(r), words["End"+title(string(r))])
	}
	b.WriteString(`
## Recurring jobs

A job with ` + "`schedule`" + ` has many runs, each with a status as above, and a status of its own: ` + "`scheduled`" + ` between its runs,
` + "`running`" + ` while one goes on, ` + "`paused`" + ` while its schedule is paused and none goes on, ` + "`stopping`" + ` when it was cancelled and runs are still ending, ` + "`completed`" + ` when its schedule has
ended.

`)
	diagram(&b, slices.DeleteFunc(slices.Clone(statuses), outside), job.StatusScheduled, job.Status.Ended, job.Status.CanRecur)
	b.WriteString(`
## Batches

A run with ` + "`rollout.batches`" + ` begins its devices batch by batch. Batches of a run that ends early stay as they are.

`)
	batches := job.BatchStates()
	diagram(&b, batches, job.BatchPending, func(s job.BatchState) bool { return s == job.BatchCompleted }, job.BatchState.CanBecome)
	b.WriteString("\n| state | meaning | may become |\n|---|---|---|\n")
	for _, s := range batches {
		row(&b, string(s), words["Batch"+title(string(s))], next(batches, s, job.BatchState.CanBecome))
	}
	b.WriteString("\n`waitsFor` says what a waiting batch waits for, all together:\n\n| waitsFor | meaning |\n|---|---|\n")
	for _, w := range job.Waits() {
		row(&b, string(w), waits[string(w)])
	}
	b.WriteString(`
## Executions

An execution is one device in one run. It ends in exactly one final state and never leaves it.

`)
	states := job.ExecutionStates()
	diagram(&b, states, job.Queued, job.ExecutionState.Final, job.ExecutionState.CanBecome)
	b.WriteString("\n| state | counted as | meaning | may become |\n|---|---|---|---|\n")
	for _, s := range states {
		row(&b, s.String(), statistic(t, s), words[title(s.String())], next(states, s, job.ExecutionState.CanBecome))
	}
	b.WriteString("\n\"Counted as\" is the member of `deviceJobStatistics`, IoT Hub's five counts; `deviceCount` is their sum.\n" +
		"\nAn execution that ends without success has a reason, and so has one in progress that waits for its device:\n\n| reason | meaning |\n|---|---|\n")
	for _, r := range job.Reasons() {
		row(&b, r.String(), words[title(r.String())])
	}
	requirePage(t, "states.md", b.String())
}

// outside reports whether a recurring job is never in a status.
func outside(s job.Status) bool {
	if s == job.StatusScheduled {
		return false
	}
	return !slices.ContainsFunc(job.Statuses(), func(from job.Status) bool { return from.CanRecur(s) })
}

var waitConstants = map[job.Wait]string{
	job.WaitSelection: "WaitSelection", job.WaitPrevious: "WaitPrevious", job.WaitThreshold: "WaitThreshold",
	job.WaitObservation: "WaitObservation", job.WaitStartTime: "WaitStartTime", job.WaitApproval: "WaitApproval",
}

// statistic names the member of IoT Hub's statistics that a state counts in.
func statistic(t *testing.T, s job.ExecutionState) string {
	t.Helper()
	switch job.CountsOf(s, job.NoReason, 1).Statistics() {
	case job.Statistics{DeviceCount: 1, PendingCount: 1}:
		return "pendingCount"
	case job.Statistics{DeviceCount: 1, RunningCount: 1}:
		return "runningCount"
	case job.Statistics{DeviceCount: 1, SucceededCount: 1}:
		return "succeededCount"
	case job.Statistics{DeviceCount: 1, FailedCount: 1}:
		return "failedCount"
	}
	t.Fatalf("%s is counted in no member, or in several", s)
	return ""
}

// diagram draws a transition table with mermaid.
func diagram[S any](b *strings.Builder, all []S, first S, final func(S) bool, can func(S, S) bool) {
	fmt.Fprintf(b, "```mermaid\nstateDiagram-v2\n    [*] --> %v\n", first)
	for _, from := range all {
		for _, to := range all {
			if can(from, to) {
				fmt.Fprintf(b, "    %v --> %v\n", from, to)
			}
		}
	}
	for _, s := range all {
		if final(s) {
			fmt.Fprintf(b, "    %v --> [*]\n", s)
		}
	}
	b.WriteString("```\n")
}

func next[S any](all []S, from S, can func(S, S) bool) string {
	var names []string
	for _, to := range all {
		if can(from, to) {
			names = append(names, fmt.Sprintf("`%v`", to))
		}
	}
	if names == nil {
		return "final"
	}
	return strings.Join(names, ", ")
}

// row writes a table row; its first cell is code, and every cell must say something.
func row(b *strings.Builder, name string, cells ...string) {
	fmt.Fprintf(b, "| `%s` |", name)
	for _, cell := range cells {
		if cell == "" {
			panic(fmt.Sprintf("nothing is said of %s: write a comment behind its constant", name))
		}
		fmt.Fprintf(b, " %s |", strings.ReplaceAll(cell, "\n", " "))
	}
	b.WriteByte('\n')
}

func title(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// limit is a row of docs/limits.md.
type limit struct {
	constant string // in definition.go or execution.go
	what     string
	value    string
}

var limits = []limit{
	{"MaxBodyBytes", "body of a request", bytesOf(job.MaxBodyBytes)},
	{"MaxJobIDLen", "`jobId`", fmt.Sprintf("1 to %d ASCII letters, digits and `-`", job.MaxJobIDLen)},
	{"MaxDeviceIDs", "`deviceIds`", fmt.Sprintf("1 to %d ids, none twice", job.MaxDeviceIDs)},
	{"MaxDeviceIDLen", "one device id", fmt.Sprintf("1 to %d letters, digits and ``- : . + %% _ # * ? ! ( ) , = @ ; $ '``", job.MaxDeviceIDLen)},
	{"MaxConditionChars", "`queryCondition`", fmt.Sprintf("1 to %d characters", job.MaxConditionChars)},
	{"MaxMethodNameLen", "`methodName`", fmt.Sprintf("1 to %d printable ASCII characters, no space and none of ``$()<>@,;:\\\"/[]?={}#+``", job.MaxMethodNameLen)},
	{"MaxMethodPayload", "`payload`", bytesOf(job.MaxMethodPayload) + " of JSON without white space, any value"},
	{"MinResponseSecs", "`responseTimeoutInSeconds`, least", seconds(job.MinResponseSecs)},
	{"MaxResponseSecs", "`responseTimeoutInSeconds`, greatest", seconds(job.MaxResponseSecs)},
	{"DefaultResponse", "`responseTimeoutInSeconds`, unless given", seconds(job.DefaultResponse)},
	{"MaxConnectSecs", "`connectTimeoutInSeconds`", "0 to " + seconds(job.MaxConnectSecs) + ", 0 unless given"},
	{"MaxTagsBytes", "`tags` of a patch, as IoT Hub counts a twin", bytesOf(job.MaxTagsBytes)},
	{"MaxDesiredBytes", "`properties.desired` of a patch, as IoT Hub counts a twin", bytesOf(job.MaxDesiredBytes)},
	{"MaxPatchText", "each of both, as JSON without white space", bytesOf(job.MaxPatchText)},
	{"MaxTwinDepth", "objects inside each other below `tags` or `desired`", fmt.Sprint(job.MaxTwinDepth)},
	{"MaxTwinKeyBytes", "a key of a patch", "1 to " + bytesOf(job.MaxTwinKeyBytes) + ", no control character, space, `.`, `$` or `#`"},
	{"MaxTwinString", "a string of a patch", bytesOf(job.MaxTwinString)},
	{"MinTwinInteger", "an integer of a patch, least", fmt.Sprint(job.MinTwinInteger)},
	{"MaxTwinInteger", "an integer of a patch, greatest", fmt.Sprint(job.MaxTwinInteger)},
	{"MaxStartAhead", "`startTime` from now", fmt.Sprintf("%d days; a time that has passed means now", int(job.MaxStartAhead.Hours()/24))},
	{"MaxExecutionSecs", "`maxExecutionTimeInSeconds`", "1 to " + seconds(job.MaxExecutionSecs) + ", no limit unless given"},
	{"MaxParameters", "twin paths of placeholders", fmt.Sprintf("%d different ones", job.MaxParameters)},
	{"MaxParameterBytes", "values of a device for placeholders, together, as JSON", fmt.Sprintf("%d KiB", job.MaxParameterBytes>>10)},
	{"MinPriority", "`priority`, least", fmt.Sprint(job.MinPriority)},
	{"MaxPriority", "`priority`, greatest", fmt.Sprint(job.MaxPriority)},
	{"DefaultPriority", "`priority`, unless given", fmt.Sprint(job.DefaultPriority)},
	{"MaxTemplateBytes", "`job` of a template, without white space", fmt.Sprintf("%d KiB", job.MaxTemplateBytes>>10)},
	{"MaxDescription", "`description` of a template or a parameter", fmt.Sprintf("%d characters", job.MaxDescription)},
	{"MaxTemplateParams", "`parameters` of a template", fmt.Sprintf("1 to %d, or none", job.MaxTemplateParams)},
	{"MaxParameterName", "`name` of a parameter", fmt.Sprintf("1 to %d letters, digits, `_` and `-`", job.MaxParameterName)},
	{"MaxParameterValue", "values of a job's `parameters` together, as JSON", fmt.Sprintf("%d KiB", job.MaxParameterValue>>10)},
	{"MaxDevices", "`maxDevices`", fmt.Sprintf("1 to %d, all unless given", job.MaxDevices)},
	{"MaxDeviceListAge", "`deviceListMaxAge`", "PT1S to " + schedule.Duration(job.MaxDeviceListAge).String()},
	{"MinSelectionInterval", "`selectionInterval`, least", schedule.Duration(job.MinSelectionInterval).String()},
	{"MaxSelectionInterval", "`selectionInterval`, greatest", schedule.Duration(job.MaxSelectionInterval).String()},
	{"DefaultSelectionInterval", "`selectionInterval`, unless given", schedule.Duration(job.DefaultSelectionInterval).String()},
	{"MaxRatePerMinute", "`rollout.maximumPerMinute`, `rollout.exponentialRate.baseRatePerMinute`", fmt.Sprintf("1 to %d devices a minute", job.MaxRatePerMinute)},
	{"MinIncrementFactor", "`rollout.exponentialRate.incrementFactor`, least", fmt.Sprint(job.MinIncrementFactor)},
	{"MaxIncrementFactor", "`rollout.exponentialRate.incrementFactor`, greatest", fmt.Sprintf("%d, one decimal", job.MaxIncrementFactor)},
	{"MaxIncreaseDevices", "`numberOfNotifiedDevices`, `numberOfSucceededDevices`", fmt.Sprintf("1 to %d", job.MaxIncreaseDevices)},
	{"MaxConcurrency", "`rollout.maxConcurrency`", fmt.Sprintf("1 to %d devices, no limit unless given", job.MaxConcurrency)},
	{"MinBatches", "`rollout.batches`, fewest", fmt.Sprint(job.MinBatches)},
	{"MaxBatches", "`rollout.batches`, most", fmt.Sprint(job.MaxBatches)},
	{"MaxBatchNumber", "`number` of a batch", fmt.Sprintf("1 to %d devices", job.MaxBatchNumber)},
	{"MaxPercentage", "`percentage` of a batch, `successThresholdPercentage`", fmt.Sprintf("above 0 to %d, two decimals; the batches of a job together less", job.MaxPercentage)},
	{"MaxObservation", "`minimumObservationTime`", fmt.Sprintf("PT1S to %s", schedule.Duration(job.MaxObservation))},
	{"MaxBatchIDs", "`deviceIds` of a batch", fmt.Sprintf("1 to %d ids, none twice, together some 3,900 characters", job.MaxBatchIDs)},
	{"MaxParted", "`queryCondition` beside such a path, or batches with a condition or ids", fmt.Sprintf("1 to %d characters", job.MaxParted)},
	{"MaxFilterChars", "`queryCondition` of a batch", fmt.Sprintf("1 to %d characters", job.MaxFilterChars)},
	{"MaxPerValue", "`rollout.maxConcurrencyPerValue`", fmt.Sprintf("1 to %d devices, 1 unless given", job.MaxPerValue)},
	{"MaxPathChars", "`rollout.orderBy`, `rollout.spreadBy`", fmt.Sprintf("1 to %d characters, a path below `tags`, `properties.desired` or `properties.reported`", job.MaxPathChars)},
	{"MaxParts", "different values of such a path among the devices of a run", fmt.Sprintf("%d; with more the run fails", job.MaxParts)},
	{"MaxLabelBytes", "such a value, as JSON", fmt.Sprintf("%d bytes; devices with a longer one come last", job.MaxLabelBytes)},
	{"MaxNoteChars", "`note` of a request to pause or resume", fmt.Sprintf("%d characters", job.MaxNoteChars)},
	{"MaxCallbackURL", "`notifications.callbackUrl`", bytesOf(job.MaxCallbackURL) + ", an absolute https URL"},
	{"MaxCriteria", "`criteria` of `abort` and of `retry`", fmt.Sprintf("1 to %d", job.MaxCriteria)},
	{"MaxMinExecuted", "`minNumberOfExecutedDevices`", fmt.Sprintf("1 to %d", job.MaxMinExecuted)},
	{"DefaultMinExecuted", "`minNumberOfExecutedDevices`, unless given", fmt.Sprint(job.DefaultMinExecuted)},
	{"MaxRetries", "`numberOfRetries`", fmt.Sprintf("1 to %d", job.MaxRetries)},
	{"MaxRetryUntil", "`until` of a retry, from the start of the run", fmt.Sprintf("PT1S to %s", schedule.Duration(job.MaxRetryUntil))},
	{"MaxRetryDelay", "`delay` and `maxDelay` of a retry", fmt.Sprintf("PT1S to %s", schedule.Duration(job.MaxRetryDelay))},
	{"DefaultRetryDelay", "`delay`, unless given", schedule.Duration(job.DefaultRetryDelay).String()},
	{"DefaultRetryMaxDelay", "`maxDelay`, unless given", schedule.Duration(job.DefaultRetryMaxDelay).String() + ", or `delay` if that is longer"},
	{"MaxRetryFactor", "`factor` of a retry", fmt.Sprintf("1 to %d", job.MaxRetryFactor)},
	{"DefaultRetryFactor", "`factor`, unless given", fmt.Sprint(job.DefaultRetryFactor)},
	{"DefaultRetryJitter", "`jitter`, unless given", fmt.Sprint(job.DefaultRetryJitter) + "; it is from 0 to 1"},
	{"MaxNotStarted", "`timeout.notStarted`, from the start of the run", fmt.Sprintf("PT1S to %s", schedule.Duration(job.MaxNotStarted))},
	{"MaxInProgress", "`timeout.inProgress`, of one call", fmt.Sprintf("PT1S to %s", schedule.Duration(job.MaxInProgress))},
	{"MaxStatusRanges", "`statusCodes` of `succeedOn` and `rejectOn`", fmt.Sprintf("1 to %d", job.MaxStatusRanges)},
	{"MinStatusCode", "a status, least", fmt.Sprint(job.MinStatusCode)},
	{"MaxStatusCode", "a status, greatest", fmt.Sprint(job.MaxStatusCode)},
	{"MaxAnswerPath", "`answer.path` of `succeedOn` and `rejectOn`", "1 to " + bytesOf(job.MaxAnswerPath)},
	{"MaxAnswerValue", "`answer.value` of both", bytesOf(job.MaxAnswerValue) + " of JSON: a string, number, boolean or null"},
	{"MaxSteps", "`steps`", fmt.Sprintf("1 to %d", job.MaxSteps)},
	{"MaxStepsText", "payloads and patches of all steps", bytesOf(job.MaxStepsText) + " of JSON without white space"},
	{"StepAnswerLimit", "answer kept for each step that succeeded, but the last", bytesOf(job.StepAnswerLimit) + "; a longer one is cut and marked"},
	{"MaxWithin", "`within` of `confirm` and of `waitFor`", fmt.Sprintf("PT1S to %s", schedule.Duration(job.MaxWithin))},
	{"DefaultWithin", "`within`, unless given", schedule.Duration(job.DefaultWithin).String()},
	{"MaxConfirmed", "`confirm.properties`, and names at the top of what is confirmed", fmt.Sprintf("1 to %d", job.MaxConfirmed)},
	{"MaxConfirmNames", "these names at the top together", bytesOf(job.MaxConfirmNames)},
	{"MaxPropertyPath", "`waitFor.path` after `properties.reported.`", "1 to " + bytesOf(job.MaxPropertyPath)},
	{"MaxWaitValue", "`equals` and `notEquals`", bytesOf(job.MaxWaitValue) + " of JSON: a string, number or boolean"},
	{"MaxHubs", "`hubs`, and hubs of a deployment with its default one", fmt.Sprintf("1 to %d, none twice", job.MaxHubs)},
	{"MaxHubName", "the name of a hub", fmt.Sprintf("1 to %d lower-case letters, digits and `-`", job.MaxHubName)},
	{"AnswerLimit", "answer or error kept for each device", bytesOf(job.AnswerLimit) + "; a longer one is cut and marked"},
	{"ShardSize", "devices of a run that are stored and carried out together", fmt.Sprint(job.ShardSize)},
}

func bytesOf(n int) string {
	switch {
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

func seconds(n int) string { return fmt.Sprintf("%d s", n) }

func TestDocsOfLimitsHoldEveryConstant(t *testing.T) {
	t.Parallel()
	inCode := map[string]bool{}
	for _, file := range []string{"definition.go", "execution.go", "failure.go", "part.go", "parameters.go", "steps.go", "priority.go", "hubs.go", "jobtemplate.go"} {
		names, _ := constants(t, file)
		for _, name := range names {
			inCode[name] = !strings.HasPrefix(name, "Type")
		}
	}
	maps.DeleteFunc(inCode, func(_ string, isLimit bool) bool { return !isLimit })
	var b strings.Builder
	b.WriteString(`# Limits

What a job may hold. A request that breaks a limit is answered with 400 and names field, value and rule, all faults of
the body at once, and then those that turn on the deployment, such as ` + "`hubs` and `callbackUrl`" + `. This page is written by a test from the constants in ` + "`internal/job`" + `: edit those, then run
` + "`go test ./internal/job -run TestDocs -update`" + `.

| what | limit | constant |
|---|---|---|
`)
	for _, l := range limits {
		require.Contains(t, inCode, l.constant)
		delete(inCode, l.constant)
		fmt.Fprintf(&b, "| %s | %s | `%s` |\n", l.what, l.value, l.constant)
	}
	require.Empty(t, slices.Collect(maps.Keys(inCode)), "constants that the page does not explain")
	b.WriteString(`
IoT Hub counts a twin by the bytes of its keys and strings without control characters, 8 for a number and 4 for a boolean;
` + "`null`" + `, which deletes a key, counts nothing. The sum of a twin after the patch is known to the hub alone.

Times are RFC 3339 with a zone, such as ` + "`2026-12-01T02:00:00Z`" + `.
`)
	requirePage(t, "limits.md", b.String())
}

// A body with the longest list of the longest ids is not too long for its other limit.
func TestTheLongestListFitsABody(t *testing.T) {
	t.Parallel()
	const quotesAndComma = 3
	require.Less(t, job.MaxDeviceIDs*(job.MaxDeviceIDLen+quotesAndComma), job.MaxBodyBytes)
}
