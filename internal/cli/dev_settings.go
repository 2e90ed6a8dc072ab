package cli

import (
	"slices"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/config"
	"github.com/fleetjobs/fleetjobs/internal/nearest"
)

// appSettings reads app settings, each NAME=VALUE; the last one of a name counts. No fault shows a value, which may be a secret. What
// a value must be the app itself says when it starts.
func appSettings(list []string) (map[string]string, error) {
	settings := map[string]string{}
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usagef("give it as NAME=VALUE", "--setting %s has no value", plain(name))
		}
		if !knownSetting(name) {
			hint := "docs/environment.md lists them"
			if near := nearest.Name(name, config.Names()); near != "" {
				hint = "did you mean " + near + "?"
			}
			return nil, usagef(hint, "--setting %s: the app has no such setting", plain(name))
		}
		settings[name] = value
	}
	return settings, nil
}

// knownSetting reports whether the handler reads a setting, or may: those of its exporters, its credentials and the host have no
// closed list.
func knownSetting(name string) bool {
	return slices.Contains(config.Names(), name) ||
		slices.ContainsFunc([]string{"AzureFunctionsJobHost__", "AZURE_", "OTEL_"}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
