// Package turns the repository into what is deployed: the function app with its
// flat layout (host.json, one folder per function, the binary "handler"), as
// dist/app for this machine and as one zip for each Linux architecture.
//
// It owns the layout and the build flags. It does not deploy, and no setting
// goes into a zip: local.settings.json is for dist/app only.
//
// The same sources, version and Go toolchain give the same bytes.
//
//	go run ./tools/package            dist/app and both zips
//	go run ./tools/package -host-only dist/app only
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("package", flag.ContinueOnError)
	p := packager{archs: []string{"amd64", "arm64"}}
	hostOnly := flags.Bool("host-only", false, "make only dist/app, for this machine")
	flags.StringVar(&p.root, "root", ".", "the repository")
	flags.StringVar(&p.out, "out", "dist", "where app and the zips go")
	flags.StringVar(&p.handler, "handler", "./handler", "package of the handler, from root")
	flags.StringVar(&p.version, "version", "", "version to build in (default: git describe)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *hostOnly {
		p.archs = nil
	}
	if p.version == "" {
		p.version = describe(ctx, p.root)
	}
	made, err := p.run(ctx)
	for _, path := range made {
		fmt.Println(path)
	}
	return err
}

// describe names the commit; a tree without git (a source archive) is "dev".
func describe(ctx context.Context, root string) string {
	out, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		return "dev"
	}
	return strings.TrimSpace(string(out))
}
