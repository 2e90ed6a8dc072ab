package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// devEnvPath is where `fleetjobs dev` says how to reach it, below the current folder.
const devEnvPath = ".fleetjobs/dev.env"

// variable is one line of an environment file.
type variable struct{ name, value string }

// writeEnvFile writes variables so that a shell and programs that read such files take them alike: NAME='value'. The file
// is readable by its owner only, since it holds keys.
func writeEnvFile(path string, variables []variable) error {
	var b strings.Builder
	for _, v := range variables {
		if strings.ContainsAny(v.value, "'\n\r") {
			return fmt.Errorf("writing %s: the value of %s holds a quote or a line break", path, v.name)
		}
		fmt.Fprintf(&b, "%s='%s'\n", v.name, v.value)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	// Other programs wait for the file to appear: it must be whole when it does.
	if err := os.WriteFile(path+".new", []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func readEnvFile(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the environment file: %w", err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		values[name] = strings.Trim(value, "'\"")
	}
	return values, nil
}
