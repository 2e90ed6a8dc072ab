// Package main checks the infrastructure code of the repository without Azure and without the Bicep compiler: that
// infra/ parses, that its modules and parameters fit together, that it names only resource types and roles that
// infra/known-types.json vouches for, that its defaults are secure, and that its app settings are the documented ones.
//
// It owns these rules and the installation of the grammar (pinned, from the npm registry, into .tools). It does not
// type-check expressions or properties as the compiler does, and it cannot know what Azure accepts: docs/deploy.md
// lists what remains to be confirmed.
//
//	go run ./tools/infracheck            prints file:line: what is wrong, exits with 1 if anything is
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "infracheck:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("infracheck", flag.ContinueOnError)
	root := flags.String("root", ".", "the repository")
	tools := flags.String("tools", ".tools", "where the grammar is installed, from root")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := loadProject(ctx, *root, *tools)
	if err != nil {
		return err
	}
	findings := p.check()
	for _, f := range findings {
		if _, err := fmt.Fprintln(out, f); err != nil {
			return fmt.Errorf("print what was found: %w", err)
		}
	}
	if len(findings) > 0 {
		return fmt.Errorf("%d faults", len(findings))
	}
	_, err = fmt.Fprintf(out, "infracheck: %d files in order\n", len(p.files))
	return err
}
