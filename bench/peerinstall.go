package main

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// peerFiles are the programs of the peers with the files that pin their packages.
//
//go:embed peers
var peerFiles embed.FS

// installed is the file that shows that a folder is complete.
const installed = "installed"

// peerPackages is a language's folder under peers with its packages.
type peerPackages struct {
	folder   string                 // under peers
	lock     string                 // the file that pins the packages
	commands func() [][]string      // install them into the current folder
	missing  func() (string, error) // names what the machine lacks for them, with the error of looking for it
}

func nodePackages() peerPackages {
	return peerPackages{"node", "package-lock.json", func() [][]string {
		return [][]string{{"npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"}}
	}, func() (string, error) { return lookFor("node", "npm") }}
}

func pythonPackages() peerPackages {
	return peerPackages{"python", "requirements.txt", func() [][]string {
		return [][]string{
			{"python3", "-m", "venv", "venv"},
			{filepath.Join("venv", "bin", "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:", "-r", "requirements.txt"},
		}
	}, func() (string, error) { return lookFor("python3") }}
}

func lookFor(programs ...string) (string, error) {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return p, err
		}
	}
	return "", nil
}

// install makes sure that programs and packages are in a folder of the user's cache, and returns it. The first time on a machine
// it downloads them; another lock file means another folder.
func (p peerPackages) install(ctx context.Context, progress io.Writer) (string, error) {
	lock, err := peerFiles.ReadFile("peers/" + p.folder + "/" + p.lock)
	if err != nil {
		return "", fmt.Errorf("reading the lock file of a peer: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "fleetjobs", "bench-"+p.folder+"-"+hex.EncodeToString(sum[:6]))
	if err := p.copyTo(dir); err != nil {
		return "", fmt.Errorf("installing %s: %w", dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, installed)); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	_, _ = fmt.Fprintf(progress, "installing packages for %s into %s (once)\n", p.folder, dir)
	for _, command := range p.commands() {
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		if filepath.Base(command[0]) != command[0] {
			cmd.Path = filepath.Join(dir, command[0])
		}
		cmd.Dir = dir
		if output, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("installing the packages for %s: %w: %.2000s", p.folder, err, output)
		}
	}
	return dir, os.WriteFile(filepath.Join(dir, installed), nil, 0o644)
}

// copyTo writes the embedded files of the folder.
func (p peerPackages) copyTo(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := peerFiles.ReadDir("peers/" + p.folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		content, err := peerFiles.ReadFile("peers/" + p.folder + "/" + entry.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, entry.Name()), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
