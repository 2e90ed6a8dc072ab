package job_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

func TestIDsOfTargets(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]struct {
		device, module string
		valid          bool
	}{
		"d":                              {"d", "", true},
		"d/m":                            {"d", "m", true},
		"d/$edgeAgent":                   {"d", "$edgeAgent", true},
		"":                               {"", "", false},
		"d/":                             {"d", "", false},
		"/m":                             {"", "m", false},
		"d/m/n":                          {"d", "m/n", false},
		"d/a b":                          {"d", "a b", false},
		"d/" + strings.Repeat("m", 128):  {"d", strings.Repeat("m", 128), true},
		"d/" + strings.Repeat("m", 129):  {"d", strings.Repeat("m", 129), false},
		strings.Repeat("d", 129) + "/mm": {strings.Repeat("d", 129), "mm", false},
	} {
		device, module := job.SplitTarget(id)
		require.Equal(t, []string{want.device, want.module}, []string{device, module}, id)
		require.Equal(t, want.valid, job.Target(id), id)
		if want.valid {
			require.Equal(t, id, job.TargetID(device, module))
		}
	}
}
