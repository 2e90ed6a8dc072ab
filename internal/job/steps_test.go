package job_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

const lookDelay = 5 * time.Second

// steps gives the body of a job with steps.
func steps(all ...string) string {
	return `{"type":"scheduleSteps","queryCondition":"*","steps":[` + strings.Join(all, ",") + `]}`
}

// confirm gives the body of a job that confirms what a patch desires.
func confirm(desired, members string) string {
	return `{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"properties":{"desired":` + desired + `}},"confirm":{` + members + `}}`
}

func sequence(t require.TestingT, body string) *job.Sequence {
	def, err := job.Decode([]byte(body), now)
	require.NoError(t, err)
	s, err := def.Sequence(lookDelay)
	require.NoError(t, err)
	return s
}

func reportedOf(t require.TestingT, text string) map[string]any {
	var v map[string]any
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	return v
}

func TestAJobOfOneCallHasNoSequence(t *testing.T) {
	t.Parallel()
	for _, body := range []string{method(""), patch(`{"tags":{"a":1}}`)} {
		require.Nil(t, sequence(t, body))
	}
}

// What a device's report says about what was desired: the outcome of the look that finds it, before the time has passed and after.
func TestADeviceConfirmsByValueOrByAcknowledgement(t *testing.T) {
	t.Parallel()
	const interval = `{"telemetryInterval":30}`
	for name, c := range map[string]struct {
		desired, members, reported string
		state                      job.ExecutionState // Queued where the wait goes on
		text                       string             // once the time has passed
	}{
		"the value":                       {interval, "", `{"telemetryInterval":30}`, job.Succeeded, ""},
		"the same number in another form": {interval, "", `{"telemetryInterval":30.0}`, job.Succeeded, ""},
		"another value":                   {interval, "", `{"telemetryInterval":60}`, job.Queued, "telemetryInterval is 60, desired is 30"},
		"another type":                    {interval, "", `{"telemetryInterval":"30"}`, job.Queued, `telemetryInterval is "30", desired is 30`},
		"nothing":                         {interval, "", `{}`, job.Queued, "telemetryInterval is not reported, desired is 30"},
		"an acknowledgement":              {interval, "", `{"telemetryInterval":{"value":30,"ac":200,"av":3,"ad":"done"}}`, job.Succeeded, ""},
		"one of another value":            {interval, "", `{"telemetryInterval":{"value":60,"ac":200,"av":2}}`, job.Queued, "telemetryInterval is 60, desired is 30"},
		"one that still works":            {interval, "", `{"telemetryInterval":{"value":30,"ac":202,"av":3}}`, job.Queued, "telemetryInterval: acknowledged with 202"},
		"a refusal":                       {interval, "", `{"telemetryInterval":{"value":30,"ac":400,"av":3}}`, job.Rejected, ""},
		"a refusal of another value":      {interval, "", `{"telemetryInterval":{"value":60,"ac":400,"av":2}}`, job.Queued, "telemetryInterval is 60, desired is 30"},
		"a failure":                       {interval, "", `{"telemetryInterval":{"value":30,"ac":500,"av":3}}`, job.Failed, ""},
		"a member of an object": {
			`{"door":{"mode":"closed","hold":{"s":5}}}`, "", `{"door":{"mode":"closed","hold":{"s":5},"more":1}}`, job.Succeeded, "",
		},
		"not all of it":           {`{"door":{"mode":"closed","hold":5}}`, "", `{"door":{"mode":"closed"}}`, job.Queued, "door.hold is not reported, desired is 5"},
		"all that is asked for":   {`{"door":{"mode":"closed","hold":5},"a":1}`, `"properties":["door.mode"]`, `{"door":{"mode":"closed"}}`, job.Succeeded, ""},
		"an object in one answer": {`{"door":{"mode":"closed"}}`, "", `{"door":{"value":{"mode":"closed"},"ac":200,"av":1}}`, job.Succeeded, ""},
		"an array":                {`{"at":[6,18]}`, "", `{"at":[6,18]}`, job.Succeeded, ""},
		"what was deleted":        {`{"old":null}`, "", `{}`, job.Succeeded, ""},
		"what was to be deleted":  {`{"old":null}`, "", `{"old":1}`, job.Queued, "old is 1, desired is not reported"},
		"a refusal beside a lack": {`{"a":1,"b":2}`, "", `{"b":{"value":2,"ac":403,"av":1}}`, job.Rejected, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sequence(t, confirm(c.desired, c.members))
			e := job.Execution{DeviceID: "a"}
			e.Begin(now)
			s.Settle(&e, job.Outcome{State: job.Succeeded}, now)
			require.True(t, e.Awaiting())
			require.Equal(t, job.AwaitingConfirmation, e.Reason)
			require.Equal(t, now.Add(lookDelay), e.NextAttemptAt)
			reported := reportedOf(t, c.reported)

			o, over := s.Look(&e, reported, now.Add(time.Minute), now.Add(time.Hour))
			require.Equal(t, c.state != job.Queued, over)
			if over {
				require.Equal(t, c.state, o.State)
				return
			}
			last := now.Add(job.DefaultWithin + lookDelay)
			require.Equal(t, last, e.NextAttemptAt, "a look comes after the time, however late the next one was to be")
			o, over = s.Look(&e, reported, last, last.Add(time.Hour))
			require.True(t, over)
			require.Equal(t, job.Outcome{State: job.TimedOut, Reason: job.NotConfirmed, Answer: []byte("not within PT10M: " + c.text)}, o)
		})
	}
}

func TestAStepWaitsForAProperty(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		condition, reported string
		over                bool
	}{
		{`"equals":"done"`, `{"fw":{"status":"done"}}`, true},
		{`"equals":"done"`, `{"fw":{"status":"half"}}`, false},
		{`"equals":"done"`, `{"fw":{"status":{"value":"done","ac":200,"av":1}}}`, true},
		{`"equals":"done"`, `{"fw":"done"}`, false},
		{`"equals":2`, `{"fw":{"status":2.0}}`, true},
		{`"notEquals":"idle"`, `{"fw":{"status":"busy"}}`, true},
		{`"notEquals":"idle"`, `{"fw":{"status":"idle"}}`, false},
		{`"notEquals":"idle"`, `{"fw":{}}`, false},
		{`"exists":true`, `{"fw":{"status":false}}`, true},
		{`"exists":true`, `{"fw":{}}`, false},
		{`"exists":false`, `{}`, true},
		{`"exists":false`, `{"fw":{"status":0}}`, false},
	} {
		t.Run(c.condition+c.reported, func(t *testing.T) {
			t.Parallel()
			s := sequence(t, steps(`{"waitFor":{"path":"properties.reported.fw.status",`+c.condition+`}}`))
			require.Equal(t, []string{"fw"}, s.Names(0))
			e := job.Execution{DeviceID: "a"}
			s.Await(&e, now)
			require.Equal(t, now, e.NextAttemptAt, "what is so already needs no wait")
			o, over := s.Look(&e, reportedOf(t, c.reported), now, now.Add(time.Minute))
			require.Equal(t, c.over, over)
			if over {
				require.Equal(t, job.Succeeded, o.State)
			}
		})
	}
}

// The longer a device takes, the more rarely somebody looks: a wait of an hour takes 18 looks.
func TestLooksBecomeRare(t *testing.T) {
	t.Parallel()
	s := sequence(t, confirm(`{"a":1}`, `"within":"PT1H"`))
	e := job.Execution{}
	e.Begin(now)
	s.Settle(&e, job.Outcome{State: job.Succeeded}, now)
	looks := 0
	for e.Awaiting() {
		at := e.NextAttemptAt
		looks++
		if o, over := s.Look(&e, nil, at, s.LookAgain([]*job.Execution{&e}, at)); over {
			s.Settle(&e, o, at)
			continue
		}
		require.True(t, e.NextAttemptAt.After(at))
		require.LessOrEqual(t, e.NextAttemptAt.Sub(at), 10*time.Minute)
	}
	require.Equal(t, job.TimedOut, e.State)
	require.Equal(t, 18, looks)
}

func TestStepsGoCallsFirst(t *testing.T) {
	t.Parallel()
	s := sequence(t, steps(`{"waitFor":{"path":"properties.reported.a","exists":true}}`, `{"method":{"methodName":"m"}}`, `{"method":{"methodName":"n"}}`))
	at := func(step int) job.Execution { return job.Execution{Progress: &job.Progress{Step: step}} }
	shard := &job.Shard{Executions: []job.Execution{at(0), at(2), at(1)}}
	require.Equal(t, job.Stage{Step: 1}, s.Next(shard, now, false))
	shard.Executions[2].End(job.Outcome{State: job.Failed}, now)
	require.Equal(t, job.Stage{Step: 2}, s.Next(shard, now, false))
	shard.Executions[1].NextAttemptAt = now.Add(time.Hour)
	require.Equal(t, job.Stage{Step: 0, Wait: true}, s.Next(shard, now, false))
	shard.Executions[0].NextAttemptAt = now.Add(time.Hour)
	require.Equal(t, job.Stage{Step: 2}, s.Next(shard, now, true), "a probe takes one that waits")
}

func TestTheAnswersOfStepsAreKeptInSize(t *testing.T) {
	t.Parallel()
	s := sequence(t, steps(slices.Repeat([]string{`{"method":{"methodName":"m"}}`}, job.MaxSteps)...))
	e := job.Execution{}
	for range job.MaxSteps {
		e.Begin(now)
		s.Settle(&e, job.Outcome{State: job.Succeeded, StatusCode: 200, Answer: []byte(`"` + strings.Repeat("é", job.AnswerLimit) + `"`)}, now)
	}
	require.Equal(t, job.Succeeded, e.State)
	require.Equal(t, job.MaxSteps, e.Attempts)
	require.Len(t, e.Progress.Results, job.MaxSteps-1)
	for _, r := range e.Progress.Results {
		require.True(t, r.Truncated)
		require.LessOrEqual(t, len(r.Answer), job.StepAnswerLimit)
		require.Nil(t, r.Payload())
	}
	require.LessOrEqual(t, len(e.Answer), job.AnswerLimit)
}

func TestStepsAndConfirmationsAreChecked(t *testing.T) {
	t.Parallel()
	const (
		names   = "must name properties with 1 to 20 names at the top, of 2048 bytes together, of those that the patch sets"
		path    = "must be properties.reported. and then 1 to 256 bytes: names with dots between them"
		one     = "must have exactly one of method, updateTwin and waitFor"
		cond    = "must have exactly one of equals, notEquals and exists, which is not null"
		within  = "must be an ISO 8601 duration from PT1S to P30D"
		value   = "must be a string, number or boolean of at most 1024 bytes"
		mode    = `{"door":{"mode":"closed"}}`
		waiting = `{"waitFor":{"path":"properties.reported.a",%s}}`
	)
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":1`, i)
	}
	for _, c := range []struct {
		body string
		want []job.Fault
	}{
		{confirm(mode, `"properties":["door.mode","lock"]`), []job.Fault{{"confirm.properties", `["door.mode","lock"]`, "lock is not set by the patch"}}},
		{confirm(mode, `"properties":[]`), []job.Fault{{"confirm.properties", "[]", `must be an array of 1 to 20 paths below properties.desired, such as "door.mode"`}}},
		{confirm(mode, `"within":"P31D","withn":1`), []job.Fault{
			{"confirm.withn", "1", `is not a known member; did you mean "within"?`}, {"confirm.within", `"P31D"`, within},
		}},
		{confirm(`{`+strings.Join(many, ",")+`}`, ""), []job.Fault{{"confirm.properties", "", names}}},
		{confirm(`{}`, ""), []job.Fault{{"confirm.properties", "", names}}},
		{confirm(`{"a]":1}`, ""), []job.Fault{{"confirm.properties", "", "a name at the top must not hold ']': no query can name it"}}},
		{
			`{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"tags":{"a":1}},"confirm":{}}`,
			[]job.Fault{{"confirm", "", "needs properties.desired in updateTwin"}},
		},
		{
			`{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m"},"confirm":{},"steps":[{}]}`,
			[]job.Fault{{"confirm", "", "goes with type scheduleUpdateTwin only"}, {"steps", "", "goes with type scheduleSteps only"}},
		},
		{`{"type":"scheduleSteps","queryCondition":"*"}`, []job.Fault{{"steps", "", "is required: an array of 1 to 10 objects"}}},
		{
			`{"type":"scheduleSteps","queryCondition":"*","steps":[{"method":{"methodName":"m"}}],"updateTwin":{},"succeedOn":{"statusCodes":[1]}}`,
			[]job.Fault{
				{"succeedOn", "", "stands beside method in steps with type scheduleSteps"}, {"updateTwin", "", "goes with type scheduleUpdateTwin only"},
			},
		},
		{steps(`{}`, `{"method":{"methodName":"m"},"waitFor":{}}`, `{"metod":{}}`), []job.Fault{
			{"steps[0]", "", one}, {"steps[1]", "", one}, {"steps[2].metod", "{}", `is not a known member; did you mean "method"?`}, {"steps[2]", "", one},
		}},
		{steps(`{"method":{"methodName":"m"},"confirm":{}}`, `{"updateTwin":{"tags":{"a":1}},"rejectOn":{"statusCodes":[1]}}`), []job.Fault{
			{"steps[0].confirm", "", "goes with updateTwin only"}, {"steps[1].rejectOn", "", "goes with method only"},
		}},
		{steps(`{"waitFor":{"path":"properties.desired.a","equals":1}}`), []job.Fault{{"steps[0].waitFor.path", `"properties.desired.a"`, path}}},
		{steps(`{"waitFor":{"path":"properties.reported.a..b","equals":1}}`), []job.Fault{{"steps[0].waitFor.path", `"properties.reported.a..b"`, path}}},
		{steps(fmt.Sprintf(waiting, `"equals":1,"exists":true`)), []job.Fault{{"steps[0].waitFor", "", cond}}},
		{steps(fmt.Sprintf(waiting, `"equals":null`)), []job.Fault{{"steps[0].waitFor", "", cond}}},
		{steps(fmt.Sprintf(waiting, `"equals":[1]`)), []job.Fault{{"steps[0].waitFor.equals", "[1]", value}}},
		{steps(fmt.Sprintf(waiting, `"exists":1`)), []job.Fault{{"steps[0].waitFor.exists", "1", "must be true or false"}}},
		{
			steps(slices.Repeat([]string{`{"method":{"methodName":"m","payload":"` + strings.Repeat("x", 70_000) + `"}}`}, 2)...),
			[]job.Fault{{"steps", "", "payloads and patches have 140004 bytes together; must have at most 131072"}},
		},
	} {
		t.Run(c.body[:min(len(c.body), 150)], func(t *testing.T) {
			t.Parallel()
			_, err := job.Decode([]byte(c.body), now)
			require.Empty(t, cmp.Diff(job.Faults(c.want), job.FaultsOf(err)))
		})
	}
}

// Whatever a device reports, a look has a result.
func FuzzLook(f *testing.F) {
	for _, reported := range []string{`{"a":1}`, `{"a":{"value":1,"ac":200}}`, `{"a":{"value":{"value":1,"ac":400},"ac":1e999}}`, `{"a":{"b":null}}`, `{"a":[{}]}`} {
		f.Add([]byte(reported))
	}
	waits := []*job.Sequence{
		sequence(f, confirm(`{"a":{"b":[1,{"c":null}],"d":"x"}}`, "")), sequence(f, confirm(`{"a":1}`, "")),
		sequence(f, steps(`{"waitFor":{"path":"properties.reported.a.b","equals":1}}`)),
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var reported map[string]any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if d.Decode(&reported) != nil {
			return
		}
		for _, s := range waits {
			e := job.Execution{}
			if s.Of(&e).Wait {
				s.Await(&e, now)
			} else {
				e.Begin(now)
				s.Settle(&e, job.Outcome{State: job.Succeeded}, now)
			}
			last := e.Progress.Until.Add(lookDelay)
			o, over := s.Look(&e, reported, last, last)
			require.True(t, over)
			s.Settle(&e, o, last)
			require.True(t, e.State.Final())
			require.NotEqual(t, o.State == job.Succeeded, e.Reason != job.NoReason)
		}
	})
}
