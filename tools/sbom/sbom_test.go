package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// pack makes a zip whose binary is this test, a real Go binary with real modules.
func pack(t *testing.T, name string) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	content, err := os.ReadFile(self)
	require.NoError(t, err)
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	entry, err := w.Create(name)
	require.NoError(t, err)
	_, err = entry.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	path := filepath.Join(t.TempDir(), "app.zip")
	require.NoError(t, os.WriteFile(path, archive.Bytes(), 0o600))
	return path
}

func TestTheSBOMNamesTheZipAndEveryModuleInItsBinary(t *testing.T) {
	t.Parallel()
	path := pack(t, executable)
	require.NoError(t, run([]string{"-version", "v1.2.3", path}, &bytes.Buffer{}))
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(path), "app.cdx.json"))
	require.NoError(t, err)
	var got bom
	require.NoError(t, json.Unmarshal(raw, &got))

	archive, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := sha256.Sum256(archive)
	require.Equal(t, "CycloneDX", got.Format)
	require.Regexp(t, `^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, got.SerialNumber)
	require.Equal(t, "pkg:golang/github.com/fleetjobs/fleetjobs@v1.2.3", got.Metadata.Component.PackageURL)
	require.Equal(t, []hash{{"SHA-256", hex.EncodeToString(sum[:])}}, got.Metadata.Component.Hashes)

	self, err := os.Executable()
	require.NoError(t, err)
	info, err := buildinfo.ReadFile(self)
	require.NoError(t, err)
	require.Len(t, got.Components, len(info.Deps)+1, "the modules and std")
	refs := map[string]bool{}
	for _, c := range got.Components {
		require.False(t, refs[c.Ref], "a bom-ref is unique: %s", c.Ref)
		refs[c.Ref] = true
	}
	for _, dep := range info.Deps {
		require.Contains(t, refs, "pkg:golang/"+dep.Path+"@"+dep.Version)
	}
}

func TestTheSameZipGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	archive, err := os.ReadFile(pack(t, executable))
	require.NoError(t, err)
	var first, second, other bytes.Buffer
	require.NoError(t, describe(archive, "v1", &first))
	require.NoError(t, describe(archive, "v1", &second))
	require.NoError(t, describe(archive, "v2", &other))
	require.Equal(t, first.String(), second.String())
	require.NotEqual(t, first.String(), other.String())
}

func TestReplacedModulesAndPlusSigns(t *testing.T) {
	t.Parallel()
	got := components(&debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
		{Path: "example.com/a", Version: "v2.0.0+incompatible", Sum: "h1:x"},
		{Path: "example.com/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v1.0.1"}},
	}})
	require.Equal(t, "pkg:golang/std@1.26.8", got[0].PackageURL)
	require.Equal(t, "pkg:golang/example.com/a@v2.0.0%2Bincompatible", got[1].PackageURL)
	require.Equal(t, []property{{"fleetjobs:go.sum", "h1:x"}}, got[1].Properties)
	require.Equal(t, "pkg:golang/example.com/fork@v1.0.1", got[2].PackageURL)
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "text.zip")
	require.NoError(t, os.WriteFile(text, []byte("no zip"), 0o600))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no version":  {[]string{text}, "usage"},
		"no zips":     {[]string{"-version", "v1"}, "usage"},
		"other files": {[]string{"-version", "v1", "handler"}, "not a zip"},
		"not a zip":   {[]string{"-version", "v1", text}, "open the zip"},
		"no binary":   {[]string{"-version", "v1", pack(t, "other")}, "find the binary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ErrorContains(t, run(c.args, &bytes.Buffer{}), c.want)
		})
	}
}
