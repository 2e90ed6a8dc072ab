package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const stub = "./tools/package/testdata/stub"

// build packages the repository with a stub in place of the handler.
func build(t *testing.T, args ...string) (out string) {
	t.Helper()
	out = t.TempDir()
	require.NoError(t, run(t.Context(), append([]string{"-root", "../..", "-out", out, "-handler", stub, "-version", "v1.2.3"}, args...)))
	return out
}

// The flat layout: the host finds function folders one level below its root.
func layout() map[string]fs.FileMode {
	return map[string]fs.FileMode{
		"Health/function.json":            0o644,
		"HubConfigurations/function.json": 0o644,
		"HubDevices/function.json":        0o644,
		"HubDigitalTwins/function.json":   0o644,
		"HubJobs/function.json":           0o644,
		"HubStatistics/function.json":     0o644,
		"HubTwins/function.json":          0o644,
		"JobStatus/function.json":         0o644,
		"RunShard/function.json":          0o644,
		"ScheduleJob/function.json":       0o644,
		"TimerDispatch/function.json":     0o644,
		"handler":                         0o755,
		"host.json":                       0o644,
	}
}

func TestZipsAreFlatExecutableAndTheSameEveryTime(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	require.NoError(t, err)
	first, second := build(t), build(t)
	for arch, machine := range map[string]uint16{"amd64": 62, "arm64": 183} { // e_machine of ELF
		name := "fleetjobs-linux-" + arch + ".zip"
		content, err := os.ReadFile(filepath.Join(first, name))
		require.NoError(t, err)
		again, err := os.ReadFile(filepath.Join(second, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, again), name)

		r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		require.NoError(t, err)
		modes, names := make(map[string]fs.FileMode), []string{}
		for _, f := range r.File {
			modes[f.Name] = f.Mode()
			names = append(names, f.Name)
			require.Equal(t, 1980, f.Modified.Year())
		}
		require.Equal(t, layout(), modes)
		require.IsNonDecreasing(t, names)
		handler, err := fs.ReadFile(r, "handler")
		require.NoError(t, err)
		require.Equal(t, "\x7fELF", string(handler[:4]))
		require.Equal(t, machine, binary.LittleEndian.Uint16(handler[18:]), arch)
		require.False(t, bytes.Contains(handler, []byte(here)), "holds paths of the building machine")
	}
	require.Equal(t, []string{"app", "fleetjobs-linux-amd64.zip", "fleetjobs-linux-arm64.zip"}, list(t, first))
}

func TestHostOnlyMakesAnAppThatRunsHere(t *testing.T) {
	t.Parallel()
	out := build(t, "-host-only")
	require.Equal(t, []string{"app"}, list(t, out))

	want := layout()
	want["local.settings.json"] = 0o600 // what func start needs besides
	got := make(map[string]fs.FileMode)
	app := os.DirFS(filepath.Join(out, "app"))
	require.NoError(t, fs.WalkDir(app, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		got[path] = info.Mode()
		return err
	}))
	require.Equal(t, want, got)

	version, err := exec.CommandContext(t.Context(), filepath.Join(out, "app", "handler")).Output()
	require.NoError(t, err)
	require.Equal(t, "v1.2.3\n", string(version))
}

func TestPackagingReplacesTheWholeApp(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	gone := filepath.Join(out, "app", "Gone", "function.json")
	require.NoError(t, os.MkdirAll(filepath.Dir(gone), 0o755))
	require.NoError(t, os.WriteFile(gone, []byte("{}"), 0o600))
	args := []string{"-root", "../..", "-out", out, "-version", "v", "-host-only"}

	// A build that fails leaves the old app alone.
	require.ErrorContains(t, run(t.Context(), append(args, "-handler", "./nowhere")), "build ./nowhere")
	require.FileExists(t, gone)
	require.NoError(t, run(t.Context(), append(args, "-handler", stub)))
	require.NoFileExists(t, gone)
	require.Equal(t, []string{"app"}, list(t, out))
}

func TestWhatAHostWouldPassOverIsRefused(t *testing.T) {
	t.Parallel()
	const host, function = `{"customHandler":{"description":{"defaultExecutablePath":"handler"}}}`, `{"bindings":[{}]}`
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no host.json":     {map[string]string{"functions/A/function.json": function}, "host.json"},
		"other executable": {map[string]string{"host.json": `{}`}, `defaultExecutablePath is "", must be "handler"`},
		"no functions":     {map[string]string{"host.json": host}, "read the functions"},
		"a stray file":     {map[string]string{"host.json": host, "functions/readme.md": ""}, "must be a folder"},
		"a bad name":       {map[string]string{"host.json": host, "functions/1A/function.json": function}, "must be a folder with the name"},
		"a script":         {map[string]string{"host.json": host, "functions/A/function.json": function, "functions/A/x.js": ""}, "nothing else"},
		"nothing in it":    {map[string]string{"host.json": host, "functions/A/function.js": ""}, "must hold function.json"},
		"no bindings":      {map[string]string{"host.json": host, "functions/A/function.json": `{"bindings":[]}`}, "has no bindings"},
		"no JSON":          {map[string]string{"host.json": host, "functions/A/function.json": `{`}, "check functions/A"},
	} {
		root := t.TempDir()
		for path, content := range tt.files {
			path = filepath.Join(root, path)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		}
		_, err := appFiles(root)
		require.ErrorContains(t, err, tt.want, name)
	}
}

// Core Tools needs settings beside host.json; the developer's own come first.
func TestLocalSettings(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	_, err := localSettings(root)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(root, "local.settings.json.example"), []byte("example"), 0o600))
	f, err := localSettings(root)
	require.NoError(t, err)
	require.Equal(t, "example", string(f.content))
	require.NoError(t, os.WriteFile(filepath.Join(root, "local.settings.json"), []byte("own"), 0o600))
	f, err = localSettings(root)
	require.NoError(t, err)
	require.Equal(t, "own", string(f.content))
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
