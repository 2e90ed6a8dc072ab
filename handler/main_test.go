package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be the handler, so that exits and signals are those of a real process.
func TestMain(m *testing.M) {
	if os.Getenv("BE_THE_HANDLER") == "1" {
		os.Unsetenv("BE_THE_HANDLER") //nolint:errcheck // it is set
		main()
		return
	}
	os.Exit(m.Run())
}

// handler starts a process with settings of its own and nothing else.
func handler(t *testing.T, settings ...string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append([]string{"BE_THE_HANDLER=1", "HOME=" + t.TempDir()}, settings...)
	errs := &strings.Builder{}
	cmd.Stderr = errs
	return cmd, errs
}

const (
	someHub     = "IOTHUB_CONNECTION_STRING=HostName=localhost;SharedAccessKeyName=service;SharedAccessKey=c2VjcmV0LXNlY3JldC1zZWNyZXQ="
	someStorage = "AzureWebJobsStorage=UseDevelopmentStorage=true"
	somePublic  = "FLEETJOBS_PUBLIC_URL=http://localhost:7071"
)

func TestABadSettingStopsTheHandlerWithAReasonAndANonZeroExit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings []string
		says     string
	}{
		"no hub":           {[]string{someStorage, somePublic, "FUNCTIONS_CUSTOMHANDLER_PORT=0"}, "IOTHUB_CONNECTION_STRING"},
		"unknown setting":  {[]string{someHub, someStorage, somePublic, "FUNCTIONS_CUSTOMHANDLER_PORT=0", "FLEETJOBS_SLICE_SECOND=1"}, "FLEETJOBS_SLICE_SECONDS"},
		"odd collector":    {[]string{someHub, someStorage, somePublic, "FUNCTIONS_CUSTOMHANDLER_PORT=0", "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT: must be an http or https URL"},
		"no port":          {[]string{someHub, someStorage, somePublic}, "FUNCTIONS_CUSTOMHANDLER_PORT"},
		"port that is not": {[]string{someHub, someStorage, somePublic, "FUNCTIONS_CUSTOMHANDLER_PORT=http"}, "FUNCTIONS_CUSTOMHANDLER_PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, errs := handler(t, c.settings...)
			err := cmd.Run()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, 1, exit.ExitCode(), "the host takes 0 for a good end and 200 for a wish to be restarted")
			require.Contains(t, errs.String(), c.says)
			require.NotContains(t, errs.String(), "c2VjcmV0")
		})
	}
}

func TestATakenPortIsANonZeroExit(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close() //nolint:errcheck // only held
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	cmd, errs := handler(t, someHub, someStorage, somePublic, "FUNCTIONS_CUSTOMHANDLER_PORT="+port)
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Run(), &exit)
	require.Equal(t, 1, exit.ExitCode())
	require.Contains(t, errs.String(), port)
}

func TestTheHandlerIsReadyWithoutStorageAndEndsWellOnSIGTERM(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	cmd, errs := handler(t, someHub, someStorage, somePublic, "FUNCTIONS_CUSTOMHANDLER_PORT="+port)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer resp.Body.Close() //nolint:errcheck // nothing is read
		return resp.StatusCode == http.StatusOK
	}, time.Minute, 10*time.Millisecond, "the host polls GET / until the handler answers")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), errs.String())
}
