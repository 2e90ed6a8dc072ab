package cli_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/cli"
)

func TestStackCommandsRefuseWithAHint(t *testing.T) {
	t.Parallel()
	for line, text := range map[string]string{
		"dev --offline 2":                         "--offline 2 is no share",
		"dev --offline 0.5 --fail 0.6":            "add up to 1.1",
		"hub --devices -1":                        "--devices -1 is too small",
		"hub --latency soon":                      "invalid value \"soon\"",
		"hub --tier S9":                           "reading the tier",
		"dev --tier S1 --units 0":                 "--units 0 is out of range",
		"dev --units 2":                           "--units and --quota belong to a tier",
		"hub --time-scale 0":                      "--time-scale 0 is no scale",
		"demo now":                                `"now" is too much`,
		"device":                                  "the device's connection string is missing",
		"dev --mqtt-devcies 2":                    "did you mean --mqtt-devices?",
		"dev --latency lognormal(80ms,)":          "invalid value",
		"dev --setting FLEETJOBS_RETENTOIN=PT2H":  "did you mean FLEETJOBS_RETENTION?",
		"dev --setting iothub_connection_string=": "did you mean IOTHUB_CONNECTION_STRING?",
		"dev --setting PATH=x":                    "docs/environment.md lists them",
		"dev --setting FLEETJOBS_RETENTION":       "--setting FLEETJOBS_RETENTION has no value",
	} {
		w := setup(t)
		require.Equal(t, cli.ExitUsage, w.run(t, strings.Fields(line)...), line)
		require.Contains(t, w.errors.String(), text, line)
	}
}

func TestAFaultyAppSettingIsNotPrinted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.Equal(t, cli.ExitUsage, w.run(t, "dev", "--setting", "FLEETJOBS_CALLBACK_KEY=whsec_c2VjcmV0"))
	require.Contains(t, w.errors.String(), "did you mean FLEETJOBS_CALLBACK_KEYS?")
	require.NotContains(t, w.errors.String(), "c2VjcmV0")
}

func TestTakenPort(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	w := setup(t)
	require.Equal(t, cli.ExitUsage, w.run(t, "hub", "--hub-port", port, "--mqtt-port", "0"))
	require.Contains(t, w.errors.String(), "address already in use")
	require.Contains(t, w.errors.String(), "0 for free ones")
}

func TestDeviceErrorsHoldNoKey(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.env = map[string]string{"IOTHUB_DEVICE_CONNECTION_STRING": "HostName=h;SharedAccessKey=c2VjcmV0"}
	require.Equal(t, cli.ExitFailure, w.run(t, "device"))
	require.Contains(t, w.errors.String(), "DeviceId is missing")
	require.NotContains(t, w.errors.String(), "c2VjcmV0")
}

func TestExitCodesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "help", "fleetjobs-exit-codes.txt"))
	require.NoError(t, err)
	for _, line := range []string{"    0  done", "    1  the command failed", "    2  the command line", "    3  the job has ended", "  130  stopped"} {
		require.Contains(t, string(text), line)
	}
	require.Equal(t, []int{0, 1, 2, 3, 130}, []int{cli.ExitOK, cli.ExitFailure, cli.ExitUsage, cli.ExitOutcome, cli.ExitInterrupted})
}
