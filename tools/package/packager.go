package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// executable is the binary's name in the app, as host.json has it.
const executable = "handler"

// packager holds what a run needs; out and handler are relative to root unless
// absolute.
type packager struct {
	root, out, handler, version string
	archs                       []string // of the zips
}

// run makes dist/app and the zips, and returns what it made.
func (p packager) run(ctx context.Context) (made []string, err error) {
	if !filepath.IsAbs(p.out) {
		p.out = filepath.Join(p.root, p.out)
	}
	if err := os.MkdirAll(p.out, 0o755); err != nil {
		return nil, fmt.Errorf("make the output folder: %w", err)
	}
	work, err := os.MkdirTemp(p.out, ".package-")
	if err != nil {
		return nil, fmt.Errorf("make a work folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	files, err := appFiles(p.root)
	if err != nil {
		return nil, err
	}
	app := filepath.Join(p.out, "app")
	if err := p.makeApp(ctx, files, work, app); err != nil {
		return nil, err
	}
	made = append(made, app)
	for _, arch := range p.archs {
		path := filepath.Join(p.out, "fleetjobs-linux-"+arch+".zip")
		if err := p.makeZip(ctx, files, arch, filepath.Join(work, "zip")); err != nil {
			return made, err
		}
		if err := os.Rename(filepath.Join(work, "zip"), path); err != nil {
			return made, fmt.Errorf("put the zip in its place: %w", err)
		}
		made = append(made, path)
	}
	return made, nil
}

// makeApp builds the app beside its place and then swaps it in, so that a host
// that runs from it never meets half a binary.
func (p packager) makeApp(ctx context.Context, files []file, work, app string) error {
	fresh, stale := filepath.Join(work, "app"), filepath.Join(work, "stale")
	binary, err := p.build(ctx, platform{runtime.GOOS, runtime.GOARCH}, work)
	if err != nil {
		return err
	}
	settings, err := localSettings(p.root)
	if err != nil {
		return err
	}
	for _, f := range append(files, settings, file{executable, binary, 0o755}) {
		path := filepath.Join(fresh, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make a folder of the app: %w", err)
		}
		if err := os.WriteFile(path, f.content, f.mode); err != nil {
			return fmt.Errorf("write the app: %w", err)
		}
		if err := os.Chmod(path, f.mode); err != nil { // whatever the umask
			return fmt.Errorf("set the mode in the app: %w", err)
		}
	}
	if err := os.Rename(app, stale); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("take the old app away: %w", err)
	}
	if err := os.Rename(fresh, app); err != nil {
		return fmt.Errorf("put the app in its place: %w", err)
	}
	return nil
}

func (p packager) makeZip(ctx context.Context, files []file, arch, path string) error {
	binary, err := p.build(ctx, platform{"linux", arch}, filepath.Dir(path))
	if err != nil {
		return err
	}
	archive, err := zipFiles(append(files, file{executable, binary, 0o755}))
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, archive, 0o644); err != nil {
		return fmt.Errorf("write the zip: %w", err)
	}
	return nil
}

type platform struct{ os, arch string }

// build compiles the handler without cgo, paths, build ids and state of the
// repository, so that the same sources give the same bytes anywhere.
func (p packager) build(ctx context.Context, target platform, work string) ([]byte, error) {
	out, err := filepath.Abs(filepath.Join(work, executable))
	if err != nil {
		return nil, fmt.Errorf("find the work folder: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+p.version, "-o", out, p.handler)
	cmd.Dir = p.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+target.os, "GOARCH="+target.arch,
		"GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=") // for any machine, whatever this one builds by default
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s for %s/%s: %w\n%s", p.handler, target.os, target.arch, err, text)
	}
	binary, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	return binary, nil
}
