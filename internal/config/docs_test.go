package config_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caarlos0/env/v11"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/config"
)

// documented returns the first two cells of each row of a section's table.
func documented(t *testing.T, section string) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../../docs/environment.md")
	require.NoError(t, err)
	_, text, ok := strings.Cut(string(b), "## "+section+"\n")
	require.True(t, ok, "no section %q", section)
	text, _, _ = strings.Cut(text, "\n## ")
	rows := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\| ?([^|]*?) ?\\|").FindAllStringSubmatch(text, -1) {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(m[1], -1) {
			require.NotContains(t, rows, name[1])
			rows[name[1]] = m[2]
		}
	}
	require.NotEmpty(t, rows)
	return rows
}

func TestEnvironmentPageListsEverySettingWithItsDefault(t *testing.T) {
	t.Parallel()
	params, err := env.GetFieldParams(&config.Config{})
	require.NoError(t, err)
	page := documented(t, "The handler's settings")
	for _, p := range params {
		require.Contains(t, page, p.Key)
		if p.HasDefaultValue {
			require.Equal(t, "`"+p.DefaultValue+"`", page[p.Key], p.Key)
		} else {
			require.NotRegexp(t, "^`[^`]*`$", page[p.Key], "%s has no default", p.Key)
		}
		delete(page, p.Key)
	}
	require.Empty(t, page, "settings that the handler does not have")
}

func TestExampleSettingsStartTheHandler(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../local.settings.json.example")
	require.NoError(t, err)
	var example struct{ Values map[string]string }
	require.NoError(t, json.Unmarshal(b, &example))

	ours, others := documented(t, "The handler's settings"), documented(t, "Settings of others")
	environ := []string{"WEBSITE_HOSTNAME=localhost:7071", "FUNCTIONS_APP_ROOT_PATH=../.."} // Core Tools
	for name, value := range example.Values {
		if _, ok := ours[name]; !ok {
			require.Contains(t, others, name)
		}
		environ = append(environ, name+"="+value)
	}
	_, err = config.Load(environ)
	require.NoError(t, err)
	require.Contains(t, example.Values, "FLEETJOBS_TIMER_SCHEDULE", "the host has no default for it")
}

// The page's advice on host.json is about the host.json that is shipped.
func TestEnvironmentPageExplainsTheShippedHostFile(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../host.json")
	require.NoError(t, err)
	var host map[string]any
	require.NoError(t, json.Unmarshal(b, &host))
	queues, ok := host["extensions"].(map[string]any)["queues"].(map[string]any)
	require.True(t, ok)
	page := documented(t, "Choices in host.json")
	for _, key := range []string{"maxPollingInterval", "visibilityTimeout", "messageEncoding"} {
		require.Equal(t, "`"+queues[key].(string)+"`", page["extensions.queues."+key])
	}
	require.Equal(t, "`"+host["functionTimeout"].(string)+"`", page["functionTimeout"])
}
