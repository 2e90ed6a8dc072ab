package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The packages of both languages are those of the tutorials, pinned with hashes.
const (
	nodeExample   = "../../examples/tutorial-node"
	pythonExample = "../../examples/tutorial-python"
)

// installNode gives Node.js with Microsoft's SDKs, which trusts the hub's certificate and can reach it at any port.
func installNode(t *testing.T, caFile string) runtime {
	t.Helper()
	dir := installed(t, "interop-node", []string{nodeExample + "/package.json", nodeExample + "/package-lock.json"}, func(dir string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "npm", "ci", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
	})
	preload, err := filepath.Abs(nodeExample + "/port.js")
	require.NoError(t, err)
	return runtime{
		program: []string{"node", "--test-reporter=spec", "--require", preload},
		env:     []string{"NODE_PATH=" + filepath.Join(dir, "node_modules"), "NODE_EXTRA_CA_CERTS=" + caFile},
	}
}

// installPython gives Python with Microsoft's SDKs, likewise.
func installPython(t *testing.T, caFile string) runtime {
	t.Helper()
	python := "python3"
	version, err := exec.CommandContext(t.Context(), python, "-c", "import sys, sysconfig; print(sys.version_info[:2], sysconfig.get_platform())").Output()
	require.NoError(t, err, "the suites of Python need Python 3 with pip")
	dir := installed(t, "interop-python", []string{pythonExample + "/requirements.txt"}, func(dir string) *exec.Cmd {
		return exec.CommandContext(t.Context(), python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-conflicts",
			"--require-hashes", "--prefer-binary", "--target", filepath.Join(dir, "packages"), "--requirement", filepath.Join(dir, "requirements.txt"))
	}, string(version))
	here, err := filepath.Abs("python")
	require.NoError(t, err)
	return runtime{
		program: []string{python},
		env: []string{
			"PYTHONPATH=" + strings.Join([]string{here, filepath.Join(dir, "packages")}, string(os.PathListSeparator)),
			"PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1",
			"REQUESTS_CA_BUNDLE=" + caFile, // of the service's SDK
			"SSL_CERT_FILE=" + caFile,      // of the device's
		},
	}
}

// installed gives a folder in which command has installed what the files name. It is kept in the cache folder of the user, under
// a name made from the files' content and what else decides.
func installed(t *testing.T, name string, files []string, command func(dir string) *exec.Cmd, also ...string) string {
	t.Helper()
	sum := sha256.New()
	sum.Write([]byte(strings.Join(also, "\n")))
	content := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		content[filepath.Base(file)] = text
		sum.Write(text)
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, "fleetjobs", name+"-"+hex.EncodeToString(sum.Sum(nil)[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(dir), 0o755))
	temp, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".tmp-")
	require.NoError(t, err)
	defer func() { require.NoError(t, os.RemoveAll(temp)) }()
	for base, text := range content {
		require.NoError(t, os.WriteFile(filepath.Join(temp, base), text, 0o644))
	}
	output, err := command(temp).CombinedOutput()
	require.NoError(t, err, "installing into %s: %s", temp, output)
	require.NoError(t, os.Chmod(temp, 0o755))
	if err := os.Rename(temp, dir); err != nil {
		require.DirExists(t, dir, "another process was not faster either: %v", err)
	}
	return dir
}
