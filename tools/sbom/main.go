// Package main writes a software bill of materials for each zip that tools/package made: CycloneDX 1.6 as JSON, beside
// the zip, with the modules that Go recorded in the zip's binary when it linked it.
//
// It owns the content of that document. It does not build, does not read go.mod (which names more than is linked), and
// knows no vulnerabilities and no licences of dependencies. The same zip and version give the same bytes: there is no
// timestamp, and the serial number comes from the zip's checksum.
//
//	go run ./tools/sbom -version v0.1.0 dist/*.zip      writes dist/<name>.cdx.json for each
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("sbom", flag.ContinueOnError)
	version := flags.String("version", "", "version that the zips hold (required)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *version == "" || flags.NArg() == 0 {
		return errors.New("usage: sbom -version <version> <zip> [<zip>]")
	}
	for _, path := range flags.Args() {
		name, isZip := strings.CutSuffix(path, ".zip")
		if !isZip {
			return fmt.Errorf("%s is not a zip", path)
		}
		archive, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read the package: %w", err)
		}
		var document bytes.Buffer
		if err := describe(archive, *version, &document); err != nil {
			return fmt.Errorf("describe %s: %w", path, err)
		}
		if err := os.WriteFile(name+".cdx.json", document.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write the SBOM: %w", err)
		}
		if _, err := fmt.Fprintln(out, name+".cdx.json"); err != nil {
			return fmt.Errorf("print what was written: %w", err)
		}
	}
	return nil
}
