package main

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed grammar/package.json grammar/package-lock.json grammar/parse.mjs
var grammarFiles embed.FS

// grammar is an installation of the Bicep grammar that tree-sitter publishes, and of the script that prints its trees.
type grammar struct{ dir string }

// node is a node of a syntax tree.
type node struct {
	Type, Field, Text string
	Line, EndLine     int
	Named, Missing    bool
	Kids              []*node
}

// installGrammar makes sure that the pinned grammar is in a folder of tools and returns it. Another lock file or script
// means another folder; folders appear by one rename, so one that is there is complete.
func installGrammar(ctx context.Context, tools string) (grammar, error) {
	files := []string{"package.json", "package-lock.json", "parse.mjs"}
	sum := sha256.New()
	for _, name := range files {
		content, err := grammarFiles.ReadFile("grammar/" + name)
		if err != nil {
			return grammar{}, fmt.Errorf("read the pinned grammar: %w", err)
		}
		sum.Write(content)
	}
	dir := filepath.Join(tools, "bicep-grammar-"+hex.EncodeToString(sum.Sum(nil)[:6]))
	if _, err := os.Stat(dir); err == nil {
		return grammar{dir}, nil
	}
	if err := os.MkdirAll(tools, 0o755); err != nil {
		return grammar{}, fmt.Errorf("make the folder of tools: %w", err)
	}
	temp, err := os.MkdirTemp(tools, ".bicep-grammar-")
	if err != nil {
		return grammar{}, fmt.Errorf("make a folder for the grammar: %w", err)
	}
	for _, name := range files {
		content, err := grammarFiles.ReadFile("grammar/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(temp, name), content, 0o644)
		}
		if err != nil {
			return grammar{}, errors.Join(fmt.Errorf("write the grammar's files: %w", err), os.RemoveAll(temp))
		}
	}
	// The WebAssembly build is in the package: nothing is compiled, no install script runs.
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	npm.Dir = temp
	if said, err := npm.CombinedOutput(); err != nil {
		return grammar{}, errors.Join(fmt.Errorf("install the Bicep grammar with npm: %w\n%s", err, said), os.RemoveAll(temp))
	}
	if err := os.Rename(temp, dir); err != nil {
		if _, there := os.Stat(dir); there != nil { // not by another process either
			return grammar{}, errors.Join(fmt.Errorf("put the grammar in its place: %w", err), os.RemoveAll(temp))
		}
		return grammar{dir}, os.RemoveAll(temp)
	}
	return grammar{dir}, nil
}

// parse returns the syntax trees of files, in their order.
func (g grammar) parse(ctx context.Context, files []string) ([]*node, error) {
	script, err := filepath.Abs(filepath.Join(g.dir, "parse.mjs"))
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "node", append([]string{script}, files...)...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("parse with node: %w", err)
	}
	var trees []*node
	if err := json.Unmarshal(out, &trees); err != nil {
		return nil, fmt.Errorf("read the syntax trees: %w", err)
	}
	if len(trees) != len(files) {
		return nil, fmt.Errorf("read the syntax trees: %d for %d files", len(trees), len(files))
	}
	return trees, nil
}

// named returns the named children.
func (n *node) named() []*node {
	var kids []*node
	for _, k := range n.Kids {
		if k.Named && k.Type != "comment" {
			kids = append(kids, k)
		}
	}
	return kids
}

// walk visits n and what is below it; visit says whether to go below.
func (n *node) walk(visit func(*node) bool) {
	if !visit(n) {
		return
	}
	for _, k := range n.Kids {
		k.walk(visit)
	}
}

// has says whether an anonymous child is token.
func (n *node) has(token string) bool {
	for _, k := range n.Kids {
		if !k.Named && k.Text == token {
			return true
		}
	}
	return false
}
