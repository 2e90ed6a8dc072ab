package azurite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const scratchPrefix = "fleetjobs-azurite-"

// staleAfter protects a folder that another process has made but not locked yet.
const staleAfter = time.Minute

// scratchDir is a temporary folder that is locked while its owner lives, so that a later process can tell and remove
// what a killed one has left.
type scratchDir struct {
	path string
	lock *os.File
}

// newScratchDir makes a folder in memory where the system offers that, and clears away stale ones.
func newScratchDir() (*scratchDir, error) {
	root := scratchRoot()
	if err := removeStale(root, time.Now()); err != nil {
		return nil, fmt.Errorf("removing stale temporary folders: %w", err)
	}
	path, err := os.MkdirTemp(root, scratchPrefix)
	if err != nil {
		return nil, fmt.Errorf("making a temporary folder: %w", err)
	}
	lock, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the temporary folder: %w", err)
	}
	if _, err := tryLock(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("locking the temporary folder: %w", err), lock.Close())
	}
	return &scratchDir{path: path, lock: lock}, nil
}

func (s *scratchDir) remove() error {
	if err := errors.Join(os.RemoveAll(s.path), s.lock.Close()); err != nil {
		return fmt.Errorf("removing the temporary folder: %w", err)
	}
	return nil
}

// scratchRoot is tmpfs on Linux, else the usual place.
func scratchRoot() string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return os.TempDir()
}

// removeStale removes the folders below root whose owners are gone.
func removeStale(root string, now time.Time) error {
	paths, err := filepath.Glob(filepath.Join(root, scratchPrefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := removeIfStale(path, now); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
			return err // another user's, or removed by another process meanwhile, is no failure
		}
	}
	return nil
}

func removeIfStale(path string, now time.Time) error {
	info, err := os.Stat(path)
	if err != nil || now.Sub(info.ModTime()) < staleAfter {
		return err
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	free, err := tryLock(dir)
	if free {
		err = os.RemoveAll(path)
	}
	return errors.Join(err, dir.Close())
}
