package azurite

import (
	"context"
	"crypto/sha256"
	_ "embed" // for the pinned package files
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// Version is the pinned release of Azurite.
const Version = "3.37.0"

// DirVariable names the environment variable that overrides where Azurite is installed. The folder is used as it is if
// it holds node_modules/azurite of the pinned version; an empty or missing one is filled.
const DirVariable = "FLEETJOBS_AZURITE_DIR"

//go:embed npm/package.json
var packageJSON []byte

//go:embed npm/package-lock.json
var packageLock []byte

// lockPoll is how often a process looks whether another one has finished installing.
const lockPoll = 200 * time.Millisecond

// Install makes sure that the pinned Azurite is on this machine and returns the folder that holds its node_modules.
// The first call on a machine downloads some 100 MB from the npm registry, checked against the lock file, and takes
// about half a minute; processes that come meanwhile wait for it. progress gets a line when that happens.
func Install(ctx context.Context, progress io.Writer) (string, error) {
	dir, err := installDir()
	if err != nil {
		return "", err
	}
	if err := (installer{dir: dir, npm: "npm"}).ensure(ctx, progress); err != nil {
		return "", fmt.Errorf("installing azurite %s into %s: %w", Version, dir, err)
	}
	return dir, nil
}

// installer fills one folder.
type installer struct {
	dir string
	npm string // the program
}

// ensure installs unless that is done. Only one caller on this machine works at a time; the others wait for it.
func (i installer) ensure(ctx context.Context, progress io.Writer) error {
	if err := checkInstalled(i.dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(i.dir), 0o755); err != nil {
		return err
	}
	unlock, err := lockFile(ctx, i.dir+".lock")
	if err != nil {
		return fmt.Errorf("waiting for another installation: %w", err)
	}
	defer unlock()
	if err := checkInstalled(i.dir); err == nil { // by the one that held the lock
		return nil
	}
	if _, err := fmt.Fprintf(progress, "installing azurite %s into %s (once, about 365 MB)\n", Version, i.dir); err != nil {
		return fmt.Errorf("reporting progress: %w", err)
	}
	return i.install(ctx)
}

// installDir returns the folder for the pinned release: another lock file means another folder.
func installDir() (string, error) {
	if dir := os.Getenv(DirVariable); dir != "" {
		return filepath.Abs(dir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder (or set %s): %w", DirVariable, err)
	}
	sum := sha256.Sum256(packageLock)
	return filepath.Join(cache, "fleetjobs", "azurite-"+Version+"-"+hex.EncodeToString(sum[:6])), nil
}

// checkInstalled returns nil if dir holds the pinned release. Installations appear by one rename, so a manifest that
// is there is complete.
func checkInstalled(dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, "node_modules", "azurite", "package.json"))
	if err != nil {
		return err
	}
	var manifest struct{ Version string }
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return fmt.Errorf("reading azurite's package.json: %w", err)
	}
	if manifest.Version != Version {
		return fmt.Errorf("found azurite %q, want %s", manifest.Version, Version)
	}
	return nil
}

// install runs npm in a folder beside the final one and renames the result.
func (i installer) install(ctx context.Context) (err error) {
	if err := removeLeftovers(i.dir); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(i.dir), filepath.Base(i.dir)+".tmp-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	for name, content := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock} {
		if err := os.WriteFile(filepath.Join(temp, name), content, 0o644); err != nil {
			return err
		}
	}
	if err := i.npmCI(ctx, temp); err != nil {
		return err
	}
	if err := checkInstalled(temp); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	return os.Rename(temp, i.dir) // refused if dir holds anything
}

// removeLeftovers removes what installations that were killed have left beside dir. The caller holds the lock.
func removeLeftovers(dir string) error {
	leftovers, err := filepath.Glob(dir + ".tmp-*")
	if err != nil {
		return err
	}
	for _, path := range leftovers {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// npmCI installs what the lock file in dir names, without running any package's scripts.
func (i installer) npmCI(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, i.npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = dieWithParent()
	runtime.LockOSThread() // see service.run
	defer runtime.UnlockOSThread()
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("running npm ci: %w: %.2000s", err, out)
	}
	return nil
}
