package tablestore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// drawExecution draws what a shard may hold: times are whole milliseconds, in UTC.
func drawExecution(t *rapid.T) job.Execution {
	instant := func(name string) time.Time {
		if rapid.Bool().Draw(t, "no "+name) {
			return time.Time{}
		}
		return time.UnixMilli(rapid.Int64Range(firstTime, lastTime).Draw(t, name)).UTC()
	}
	e := job.Execution{
		DeviceID:      rapid.StringN(0, 130, 512).Draw(t, "device"),
		State:         rapid.SampledFrom(job.ExecutionStates()).Draw(t, "state"),
		Reason:        rapid.SampledFrom(append(job.Reasons(), job.NoReason)).Draw(t, "reason"),
		Attempts:      rapid.IntRange(0, 1<<31-1).Draw(t, "attempts"),
		StartedAt:     instant("startedAt"),
		EndedAt:       instant("endedAt"),
		NextAttemptAt: instant("nextAttemptAt"),
		StatusCode:    rapid.Int().Draw(t, "statusCode"),
		Truncated:     rapid.Bool().Draw(t, "truncated"),
		Reached:       rapid.Bool().Draw(t, "reached"),
	}
	if answer := rapid.SliceOf(rapid.Byte()).Draw(t, "answer"); len(answer) > 0 {
		e.Answer = answer
	}
	if values := rapid.SliceOf(rapid.Byte()).Draw(t, "values"); len(values) > 0 {
		e.Values = values
	}
	if rapid.Bool().Draw(t, "steps") {
		p := &job.Progress{
			Step: rapid.IntRange(0, job.MaxSteps).Draw(t, "step"), Before: rapid.IntRange(0, 1<<31-1).Draw(t, "before"), Until: instant("until"),
		}
		for range rapid.IntRange(0, job.MaxSteps).Draw(t, "results") {
			p.Results = append(p.Results, job.StepResult{
				StatusCode: rapid.Int().Draw(t, "code"), EndedAt: instant("passedAt"), Truncated: rapid.Bool().Draw(t, "cut"), Answer: e.Answer,
			})
		}
		e.Progress = p
	}
	return e
}

func TestPackedExecutionsComeBack(t *testing.T) {
	t.Parallel()
	var p packer
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, job.ShardSize).Draw(t, "executions")
		want := make([]job.Execution, n)
		for i := range want {
			want[i] = drawExecution(t)
		}
		packed, err := p.pack(want)
		require.NoError(t, err)
		got, err := p.unpack(packed)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(want, got))
	})
}

func TestPackingCutsTimesToMilliseconds(t *testing.T) {
	t.Parallel()
	var p packer
	at := time.Date(2026, 12, 1, 13, 0, 0, 123_999_999, time.FixedZone("CET", 3600))
	packed, err := p.pack([]job.Execution{{DeviceID: "a", StartedAt: at}})
	require.NoError(t, err)
	got, err := p.unpack(packed)
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 12, 1, 12, 0, 0, 123_000_000, time.UTC), got[0].StartedAt)
}

func TestDamagedShardsAreRefused(t *testing.T) {
	t.Parallel()
	var p packer
	whole, err := p.pack([]job.Execution{{DeviceID: "a", Answer: []byte("answer")}})
	require.NoError(t, err)
	execution := func(state, reason byte) []byte {
		return []byte{packedPlain, 1, 1, 'a', state, reason, 0, 0, 0, 0, 0, 0}
	}
	_, err = p.unpack(execution(0, 0))
	require.NoError(t, err)
	many := append([]byte{packedPlain, job.ShardSize + 1}, bytes.Repeat([]byte{0}, 9*(job.ShardSize+1))...)
	for name, data := range map[string][]byte{
		"nothing":              nil,
		"version alone":        {packedPlain},
		"unknown version":      {3, 0},
		"cut":                  whole[:len(whole)-1],
		"more behind":          append(bytes.Clone(whole), 0),
		"broken deflate":       {packedDeflated, 0xFF},
		"too many executions":  many,
		"unknown state":        execution(byte(len(job.ExecutionStates())), 0),
		"unknown reason":       execution(0, byte(len(job.Reasons())+1)),
		"endless number":       append([]byte{packedPlain}, bytes.Repeat([]byte{0xFF}, 11)...),
		"an id without end":    {packedPlain, 1, 200, 'a'},
		"attempts without end": {packedPlain, 1, 1, 'a', 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0, 0},
		"a time after all":     {packedPlain, 1, 1, 'a', 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0},
	} {
		_, err := p.unpack(data)
		require.Error(t, err, name)
	}
}

// What unpacks packs to the same again, and nothing makes unpack panic or use memory without bound.
func FuzzUnpack(f *testing.F) {
	var p packer
	for _, executions := range [][]job.Execution{nil, {{DeviceID: "a"}}, fleet(8)} {
		packed, err := p.pack(executions)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
		f.Add(encodeExecutions(executions))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := p.unpack(data)
		if err != nil {
			return
		}
		packed, err := p.pack(first)
		require.NoError(t, err)
		second, err := p.unpack(packed)
		require.NoError(t, err)
		require.True(t, reflect.DeepEqual(first, second), "%v\n%v", first, second)
		job.Count(first) // every state and reason is known
	})
}

// fleet gives n executions as a run leaves them: most succeeded with a short answer, some offline.
func fleet(n int) []job.Execution {
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	executions := make([]job.Execution, n)
	for i := range executions {
		e := &executions[i]
		e.DeviceID = fmt.Sprintf("truck-%06d", random.IntN(1_000_000))
		e.Begin(start.Add(time.Duration(random.IntN(60_000)) * time.Millisecond))
		o := job.Outcome{State: job.Succeeded, StatusCode: 200, Answer: fmt.Appendf(nil, `{"rebootedAt":%d}`, random.IntN(1e9))}
		if i%20 == 0 {
			o = job.Outcome{State: job.Failed, Reason: job.DeviceOffline, Answer: []byte("404103: the device is not connected")}
		}
		e.End(o, e.StartedAt.Add(time.Duration(random.IntN(5000))*time.Millisecond))
	}
	return executions
}

func BenchmarkPack100(b *testing.B) {
	var p packer
	executions := fleet(100)
	size := 0
	b.ReportAllocs()
	for b.Loop() {
		packed, err := p.pack(executions)
		if err != nil {
			b.Fatal(err)
		}
		size = len(packed)
	}
	b.ReportMetric(float64(size)/100, "bytes/execution")
}

func BenchmarkUnpack100(b *testing.B) {
	var p packer
	packed, err := p.pack(fleet(100))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.unpack(packed); err != nil {
			b.Fatal(err)
		}
	}
}
