package azurite

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// setup returns an installer into a folder that does not exist yet, with a stand-in for npm from testdata, and how often
// that has been called. The stand-ins are files of the repository: a program that a test writes cannot safely be run
// while other tests start processes.
func setup(t *testing.T, npm string) (i installer, calls func() int) {
	t.Helper()
	program, err := filepath.Abs(filepath.Join("testdata", npm))
	require.NoError(t, err)
	cache := filepath.Join(t.TempDir(), "cache")
	return installer{dir: filepath.Join(cache, "azurite"), npm: program}, func() int {
		raw, err := os.ReadFile(filepath.Join(cache, "calls"))
		if os.IsNotExist(err) {
			return 0
		}
		require.NoError(t, err)
		return strings.Count(string(raw), "ci --no-audit --no-fund --ignore-scripts")
	}
}

func TestConcurrentInstallersRunNPMOnce(t *testing.T) {
	t.Parallel()
	in, calls := setup(t, "npm-succeeds")
	var wg sync.WaitGroup
	errs := make([]error, 8)
	outs := make([]bytes.Buffer, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = in.ensure(t.Context(), &outs[i]) })
	}
	wg.Wait()
	var progress string
	for i := range errs {
		require.NoError(t, errs[i])
		progress += outs[i].String()
	}
	require.Equal(t, 1, calls())
	require.Equal(t, "installing azurite "+Version+" into "+in.dir+" (once, about 365 MB)\n", progress)
	require.NoError(t, checkInstalled(in.dir))
}

func TestAFailedInstallationLeavesNothing(t *testing.T) {
	t.Parallel()
	in, calls := setup(t, "npm-fails")
	err := in.ensure(t.Context(), &bytes.Buffer{})
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "registry is down")
	entries, err := os.ReadDir(filepath.Dir(in.dir))
	require.NoError(t, err)
	require.Len(t, entries, 1, "only the lock file: %v", entries)

	works, _ := setup(t, "npm-succeeds")
	in.npm = works.npm
	require.NoError(t, in.ensure(t.Context(), &bytes.Buffer{}))
	require.Equal(t, 1, calls())
}

func TestAnInstallationRemovesWhatAKilledOneLeft(t *testing.T) {
	t.Parallel()
	in, _ := setup(t, "npm-succeeds")
	require.NoError(t, os.MkdirAll(in.dir+".tmp-123/node_modules", 0o700))
	require.NoError(t, in.ensure(t.Context(), &bytes.Buffer{}))
	require.NoDirExists(t, in.dir+".tmp-123")
}

func TestAFolderWithOtherThingsIsLeftAlone(t *testing.T) {
	t.Parallel()
	in, _ := setup(t, "npm-succeeds")
	other := filepath.Join(in.dir, "node_modules", "azurite")
	require.NoError(t, os.MkdirAll(other, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(other, "package.json"), []byte(`{"version":"3.35.0"}`), 0o600))
	require.ErrorContains(t, checkInstalled(in.dir), `found azurite "3.35.0", want `+Version)

	require.Error(t, in.ensure(t.Context(), &bytes.Buffer{}))
	require.ErrorContains(t, checkInstalled(in.dir), "3.35.0")
}

func TestWaitingForAnotherInstallationEndsWithTheContext(t *testing.T) {
	t.Parallel()
	in, calls := setup(t, "npm-succeeds")
	require.NoError(t, os.MkdirAll(filepath.Dir(in.dir), 0o700))
	unlock, err := lockFile(t.Context(), in.dir+".lock")
	require.NoError(t, err)
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, in.ensure(ctx, &bytes.Buffer{}), context.DeadlineExceeded)
	require.Zero(t, calls())
}

func TestTheInstallationEndsWithTheContext(t *testing.T) {
	t.Parallel()
	in, calls := setup(t, "npm-hangs")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- in.ensure(ctx, &bytes.Buffer{}) }()
	require.Eventually(t, func() bool { return calls() == 1 }, time.Minute, 5*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
}

// The lock file pins every package by its hash and names no registry, so npm's own configuration decides that.
func TestTheLockFilePinsEveryPackage(t *testing.T) {
	t.Parallel()
	var lock struct {
		Packages map[string]struct{ Version, Integrity, Resolved string }
	}
	require.NoError(t, json.Unmarshal(packageLock, &lock))
	require.Equal(t, Version, lock.Packages["node_modules/azurite"].Version)
	for name, p := range lock.Packages {
		if name != "" {
			require.True(t, strings.HasPrefix(p.Integrity, "sha512-"), name)
			require.Empty(t, p.Resolved, name)
		}
	}
}

func TestTheFolderIsOverriddenByTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(DirVariable, dir)
	got, err := installDir()
	require.NoError(t, err)
	require.Equal(t, dir, got)

	t.Setenv(DirVariable, "")
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv("HOME", dir)
	got, err = installDir()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(got, dir), got)
	require.Contains(t, got, filepath.Join("fleetjobs", "azurite-"+Version+"-"))
}
