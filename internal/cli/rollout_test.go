package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func TestRolloutFlags(t *testing.T) {
	t.Parallel()
	var def client.Definition
	require.NoError(t, (&rolloutFlags{}).apply(&def))
	require.Nil(t, def.Rollout, "no flag, no rollout")
	require.NoError(t, (&rolloutFlags{rate: 100, devices: 7, batches: []string{"10", "2.5%"}}).apply(&def))
	require.Equal(t, 7, def.MaxDevices)
	require.Equal(t, &client.Rollout{MaximumPerMinute: 100, Batches: []client.Batch{{Number: 10}, {Percentage: 2.5}, {}}}, def.Rollout)
	require.ErrorContains(t, (&rolloutFlags{batches: []string{"a few"}}).apply(&def), `--batch "a few" is no size`)
}

func TestAnEditNamesSomething(t *testing.T) {
	t.Parallel()
	_, err := (&jobEdit{}).patch()
	require.ErrorContains(t, err, "give what is to change")
	patch, err := (&jobEdit{rate: 5, maxTime: 7_200_000_000_000}).patch()
	require.NoError(t, err)
	require.JSONEq(t, `{"maxExecutionTimeInSeconds":7200,"rollout":{"maximumPerMinute":5}}`, string(patch))
	patch, err = (&jobEdit{priority: 9}).patch()
	require.NoError(t, err)
	require.JSONEq(t, `{"priority":9}`, string(patch))
}
