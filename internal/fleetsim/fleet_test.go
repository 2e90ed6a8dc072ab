package fleetsim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

func newFleet(t *testing.T, opt fleetsim.Options) *fleetsim.Fleet {
	t.Helper()
	f, err := fleetsim.New(opt)
	require.NoError(t, err)
	return f
}

func TestTheSameSeedIsTheSameFleet(t *testing.T) {
	t.Parallel()
	opt := fleetsim.Options{Devices: 500, Seed: 1, OfflineShare: 0.1, FailShare: 0.1, SilentShare: 0.1}
	a, b := newFleet(t, opt), newFleet(t, opt)
	opt.Seed = 2
	other, differ := newFleet(t, opt), 0
	for i := range a.Len() {
		require.Equal(t, a.Device(i), b.Device(i))
		if a.Device(i).Answers() != other.Device(i).Answers() {
			differ++
		}
	}
	require.Greater(t, differ, 50)
	require.Equal(t, "dev-000001", a.ID(0))
	require.Equal(t, a.Expect(nil), b.Expect(nil))
}

func TestSharesAreMetAndExcludeEachOther(t *testing.T) {
	t.Parallel()
	f := newFleet(t, fleetsim.Options{Devices: 10_000, OfflineShare: 0.1, FailShare: 0.05, SilentShare: 0.02})
	e := f.Expect(nil)
	require.Equal(t, 10_000, e.Total)
	require.Equal(t, e.Total, e.Answering+e.Offline+e.Failing+e.Silent)
	require.InDelta(t, 1000, e.Offline, 150)
	require.InDelta(t, 500, e.Failing, 100)
	require.InDelta(t, 200, e.Silent, 70)
	canaries := f.Expect(func(d fleetsim.Device) bool { return d.Tags["ring"] == "canary" })
	require.InDelta(t, 100, canaries.Total, 50)
}

func TestTagsCoverTheirRanges(t *testing.T) {
	t.Parallel()
	buildings, sites, firmware := map[any]bool{}, map[any]bool{}, map[any]bool{}
	for d := range newFleet(t, fleetsim.Options{Devices: 5000}).All() {
		buildings[d.Tags["building"]] = true
		sites[d.Tags["site"]] = true
		firmware[d.Reported["firmware"]] = true
		require.NotEmpty(t, d.Tags["model"])
		require.LessOrEqual(t, d.Reported["battery"], 100)
	}
	require.Len(t, buildings, 60)
	require.Len(t, sites, 4)
	require.Len(t, firmware, 6)
}

func TestRefusedOptions(t *testing.T) {
	t.Parallel()
	for want, opt := range map[string]fleetsim.Options{
		"negative":      {Devices: -1},
		"1.5 is not":    {OfflineShare: 1.5},
		"-0.1 is not":   {FailShare: -0.1},
		"add up to 1.2": {OfflineShare: 0.6, SilentShare: 0.6},
	} {
		_, err := fleetsim.New(opt)
		require.ErrorContains(t, err, want)
	}
}

// responders returns the programs of a fleet's devices.
func responders(f *fleetsim.Fleet) []registry.Responder {
	var all []registry.Responder
	for p := range f.Presets() {
		all = append(all, p.Responder)
	}
	return all
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	well := responders(newFleet(t, fleetsim.Options{Devices: 1}))[0]
	for _, test := range [][3]string{
		{"lockDoor", `{"lockTime":"10m"}`, `{"result":"locked","lockTime":"10m"}`},
		{"lockDoor", `5`, `{"result":"locked"}`},
		{"reboot", `null`, `{"result":"rebooting"}`},
		{"anything", `{}`, `{"result":"done"}`},
	} {
		answer := well.Respond(test[0], []byte(test[1]))
		require.Equal(t, 200, answer.Status)
		require.JSONEq(t, test[2], string(answer.Payload))
		require.Zero(t, answer.After)
	}
	reported, after := well.ApplyDesired(map[string]any{"a": nil})
	require.Equal(t, map[string]any{"a": nil}, reported)
	require.Zero(t, after)
	_, after = responders(newFleet(t, fleetsim.Options{Devices: 1, ApplyAfter: time.Minute}))[0].ApplyDesired(map[string]any{"a": 1})
	require.Equal(t, time.Minute, after)

	failing := responders(newFleet(t, fleetsim.Options{Devices: 1, FailShare: 1}))[0].Respond("reboot", nil)
	require.Equal(t, 500, failing.Status)
	require.JSONEq(t, `{"error":"the actuator does not respond","code":"E42"}`, string(failing.Payload))

	require.True(t, responders(newFleet(t, fleetsim.Options{Devices: 1, SilentShare: 1}))[0].Respond("reboot", nil).Silent)
}

func TestLatencyFollowsTheDistribution(t *testing.T) {
	t.Parallel()
	spread, err := latency.Parse("10ms..30ms")
	require.NoError(t, err)
	device := responders(newFleet(t, fleetsim.Options{Devices: 1, Latency: spread}))[0]
	var sum time.Duration
	for range 1000 {
		after := device.Respond("m", nil).After
		require.GreaterOrEqual(t, after, 10*time.Millisecond)
		require.Less(t, after, 30*time.Millisecond)
		sum += after
	}
	require.InDelta(t, 20, float64(sum.Milliseconds())/1000, 1)
}
