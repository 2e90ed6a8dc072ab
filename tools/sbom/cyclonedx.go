package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"
)

// executable is the binary's name in the zip, as host.json has it.
const executable = "handler"

// bom is the part of a CycloneDX 1.6 document that we fill: https://cyclonedx.org/docs/1.6/json/.
type bom struct {
	Schema       string      `json:"$schema"`
	Format       string      `json:"bomFormat"`
	SpecVersion  string      `json:"specVersion"`
	SerialNumber string      `json:"serialNumber"`
	Version      int         `json:"version"`
	Metadata     metadata    `json:"metadata"`
	Components   []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Ref        string     `json:"bom-ref"`
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Hashes     []hash     `json:"hashes,omitempty"`
	PackageURL string     `json:"purl"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// describe writes the document for a zip of tools/package.
func describe(archive []byte, version string, out io.Writer) error {
	binary, err := readExecutable(archive)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("read what is linked into %s: %w", executable, err)
	}
	sum := sha256.Sum256(archive)
	app := module(info.Main.Path, version)
	app.Type, app.Hashes = "application", []hash{{"SHA-256", hex.EncodeToString(sum[:])}}
	document := bom{
		Schema:       "http://cyclonedx.org/schema/bom-1.6.schema.json",
		Format:       "CycloneDX",
		SpecVersion:  "1.6",
		SerialNumber: "urn:uuid:" + uuid.NewSHA1(uuid.NameSpaceOID, append(sum[:], version...)).String(),
		Version:      1,
		Metadata:     metadata{Component: app},
		Components:   components(info),
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("encode the SBOM: %w", err)
	}
	return nil
}

// components lists the standard library, whose faults are the binary's too, and then the modules in Go's order.
func components(info *debug.BuildInfo) []component {
	list := []component{module("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		c := module(dep.Path, dep.Version)
		if dep.Sum != "" { // of the module's file list (h1), so not a "hash" of one file
			c.Properties = []property{{"fleetjobs:go.sum", dep.Sum}}
		}
		list = append(list, c)
	}
	return list
}

// module names a Go module by its package URL, with the case that Go needs:
// https://github.com/package-url/purl-spec. A plus sign (+incompatible) has to be escaped there.
func module(path, version string) component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B")
	return component{Ref: purl, Type: "library", Name: path, Version: version, PackageURL: purl}
}

func readExecutable(archive []byte) (binary []byte, err error) {
	files, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("open the zip: %w", err)
	}
	file, err := files.Open(executable)
	if err != nil {
		return nil, fmt.Errorf("find the binary: %w", err)
	}
	binary, err = io.ReadAll(file) // a zip's reader checks the CRC at the end
	if err != nil {
		return nil, fmt.Errorf("unpack the binary: %w", err)
	}
	return binary, file.Close()
}
