package cli

import (
	"flag"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// creating gives the command that a command line means, before it asks the service for anything.
func creating(t *testing.T, args ...string) *jobCreate {
	t.Helper()
	c := &jobCreate{given: map[string]bool{}}
	fs := flag.NewFlagSet("job create", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c.flags(fs)
	require.NoError(t, fs.Parse(args))
	fs.Visit(func(f *flag.Flag) { c.given[f.Name] = true })
	return c
}

func TestWindowFlags(t *testing.T) {
	t.Parallel()
	w, err := creating(t).maintenanceWindow()
	require.NoError(t, err)
	require.Nil(t, w, "no flag, no window")
	w, err = creating(t, "--window", "0 1 * * 6", "--window-for", "4h", "--cron", "0 2 * * *", "--time-zone", "Europe/Berlin").maintenanceWindow()
	require.NoError(t, err)
	require.Equal(t, &client.Window{Cron: "0 1 * * 6", TimeZone: "Europe/Berlin", Duration: "PT14400S"}, w)
	w, err = creating(t, "--window", "0 1 * * *", "--window-for", "30m", "--window-time-zone", "Asia/Tokyo", "--window-end", "cancel").maintenanceWindow()
	require.NoError(t, err)
	require.Equal(t, &client.Window{Cron: "0 1 * * *", TimeZone: "Asia/Tokyo", Duration: "PT1800S", EndBehavior: "cancel"}, w)
	_, err = creating(t, "--window", "0 1 * * *").maintenanceWindow()
	require.ErrorContains(t, err, "--window goes with --window-for")
	_, err = creating(t, "--window-end", "cancel").maintenanceWindow()
	require.ErrorContains(t, err, "--window-end is for a job with a maintenance window")
}

func TestABatchThatWaitsForApprovalSaysHowToGiveIt(t *testing.T) {
	t.Parallel()
	require.Empty(t, approveHint("reboot", &client.BatchStatus{Batch: 2, WaitsFor: []string{"success"}}))
	require.Equal(t, "approve it, as somebody else than its creator, with: fleetjobs job approve reboot --batch 2",
		approveHint("reboot", &client.BatchStatus{Batch: 2, WaitsFor: []string{"success", "approval"}}))
}
