package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// module is the first line of the repository's go.mod.
const module = "module github.com/fleetjobs/fleetjobs"

// findApp decides which app runs, and builds it if that is this repository's and not there or stale.
func (s *Stack) findApp(ctx context.Context) error {
	if s.options.AppRoot != "" {
		s.appRoot = s.options.AppRoot
		return nil
	}
	root, err := repository()
	if err != nil {
		return err
	}
	s.appRoot = filepath.Join(root, "dist", "app")
	if err := os.MkdirAll(filepath.Join(root, "dist"), 0o755); err != nil {
		return fmt.Errorf("making dist: %w", err)
	}
	// Several test binaries may come here at once: one builds, the others then find it fresh.
	unlock, err := lockFile(ctx, filepath.Join(root, "dist", ".app.lock"))
	if err != nil {
		return fmt.Errorf("waiting for another build of the app: %w", err)
	}
	defer unlock()
	stale, err := outdated(root, filepath.Join(s.appRoot, "handler"))
	if err != nil || !stale {
		return err
	}
	_, _ = fmt.Fprintln(s.options.Progress, "building dist/app")
	return build(ctx, root)
}

// repository finds the folder of our go.mod, upwards from the current folder.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(text, []byte(module+"\n")) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("this folder is not in the repository of fleetjobs, and no packaged app was named")
		}
		dir = parent
	}
}

// outdated reports whether the binary is missing or older than something that it is made of. Folders count too: their times
// change when files come and go.
func outdated(root, binary string) (bool, error) {
	info, err := os.Stat(binary)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at the app: %w", err)
	}
	for _, source := range []string{"go.mod", "go.sum", "host.json", "functions", "handler", "internal", "local.settings.json"} {
		newer, err := newerThan(filepath.Join(root, source), info.ModTime())
		if err != nil || newer {
			return newer, err
		}
	}
	return false, nil
}

func newerThan(path string, built time.Time) (bool, error) {
	newer := false
	err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone since its folder was read, or optional
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "testdata":
			return fs.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			return nil
		}
		info, err := entry.Info()
		if err == nil && info.ModTime().After(built) {
			newer = true
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("looking at the app's sources: %w", err)
	}
	return newer, nil
}

// build makes dist/app.
func build(ctx context.Context, root string) error {
	cmd := exec.CommandContext(ctx, "go", "run", "./tools/package", "-host-only")
	cmd.Dir = root
	interruptTogether(cmd)
	if output, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err() // which is why go was killed
		}
		return fmt.Errorf("building dist/app: %w\n%s", err, bytes.TrimSpace(output))
	}
	return nil
}
