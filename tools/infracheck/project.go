package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fleetjobs/fleetjobs/tools/infracheck/kql"
)

// project is everything that the rules look at.
type project struct {
	files     map[string]*file // by path from the root
	known     knownTypes
	settings  map[string]bool   // documented names
	functions map[string]bool   // folders of functions/
	queues    []string          // that functions are triggered by
	texts     map[string]string // files that templates load, by path from the root
	traces    []kql.Row         // sample rows
	findings  []finding
}

// knownTypes is infra/known-types.json.
type knownTypes struct {
	About   string
	Checked string
	Types   map[string]string // type@version to source
	Roles   map[string]struct{ ID, Source string }
}

// finding is a fault at a place.
type finding struct {
	file, rule, text string
	line             int
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s [%s]", f.file, f.line, f.text, f.rule)
}

const knownFile = "infra/known-types.json"

// loadProject reads and parses what is to be checked; tools is relative to root unless absolute.
func loadProject(ctx context.Context, root, tools string) (*project, error) {
	if !filepath.IsAbs(tools) {
		tools = filepath.Join(root, tools)
	}
	g, err := installGrammar(ctx, tools)
	if err != nil {
		return nil, err
	}
	p := &project{
		files: map[string]*file{}, settings: map[string]bool{}, functions: map[string]bool{}, texts: map[string]string{},
	}
	if err := p.readSources(ctx, root, g); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(knownFile)))
	if err != nil {
		return nil, fmt.Errorf("read the known types: %w", err)
	}
	if err := json.Unmarshal(content, &p.known); err != nil {
		return nil, fmt.Errorf("read %s: %w", knownFile, err)
	}
	if err := p.readSettings(root); err != nil {
		return nil, err
	}
	if err := p.readQueries(root); err != nil {
		return nil, err
	}
	return p, p.readFunctions(root)
}

func (p *project) readSources(ctx context.Context, root string, g grammar) error {
	var sources []string
	err := filepath.WalkDir(filepath.Join(root, "infra"), func(name string, _ fs.DirEntry, err error) error {
		if ext := filepath.Ext(name); ext == ".bicep" || ext == ".bicepparam" {
			sources = append(sources, name)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list the Bicep files: %w", err)
	}
	trees, err := g.parse(ctx, sources)
	if err != nil {
		return err
	}
	for i, tree := range trees {
		name, err := filepath.Rel(root, sources[i])
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		p.files[name] = readFile(name, tree)
	}
	return nil
}

const settingsPage = "docs/environment.md"

// settingTables are the sections of that page with a table of settings, names in the first column.
var settingTables = []string{"The handler's settings", "Settings of others"}

var (
	tableRow = regexp.MustCompile("(?m)^\\| (`[^|]*) \\|")
	backtick = regexp.MustCompile("`([^`]+)`")
)

func (p *project) readSettings(root string) error {
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(settingsPage)))
	if err != nil {
		return fmt.Errorf("read the documented settings: %w", err)
	}
	for _, section := range settingTables {
		_, text, found := strings.Cut(string(content), "\n## "+section+"\n")
		if !found {
			return fmt.Errorf("read the documented settings: %s has no section %q", settingsPage, section)
		}
		text, _, _ = strings.Cut(text, "\n## ")
		for _, row := range tableRow.FindAllStringSubmatch(text, -1) {
			for _, setting := range backtick.FindAllStringSubmatch(row[1], -1) {
				p.settings[setting[1]] = true
			}
		}
	}
	return nil
}

func (p *project) readFunctions(root string) error {
	names, err := filepath.Glob(filepath.Join(root, "functions", "*", "function.json"))
	if err != nil {
		return err
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read a function: %w", err)
		}
		var function struct{ Bindings []struct{ QueueName string } }
		if err := json.Unmarshal(content, &function); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		p.functions[filepath.Base(filepath.Dir(name))] = true
		for _, b := range function.Bindings {
			if b.QueueName != "" {
				p.queues = append(p.queues, b.QueueName)
			}
		}
	}
	return nil
}

// check runs all rules and returns what they found, by place. Files that do not parse are not looked at further.
func (p *project) check() []finding {
	p.findings = nil
	for _, f := range p.sorted() {
		p.checkSyntax(f)
	}
	if len(p.findings) == 0 {
		for _, f := range p.sorted() {
			p.checkNames(f)
			p.checkModules(f)
			p.checkTypes(f)
			p.checkRoles(f)
			p.checkDescriptions(f)
			p.checkOutputs(f)
			p.checkSecurity(f)
			p.checkSettings(f)
			p.checkFunctions(f)
		}
		p.checkKnown()
		p.checkWhole()
		p.checkQueries()
	}
	slices.SortStableFunc(p.findings, func(a, b finding) int {
		if c := strings.Compare(a.file, b.file); c != 0 {
			return c
		}
		return a.line - b.line
	})
	return p.findings
}

func (p *project) sorted() []*file {
	names := make([]string, 0, len(p.files))
	for name := range p.files {
		names = append(names, name)
	}
	slices.Sort(names)
	files := make([]*file, len(names))
	for i, name := range names {
		files[i] = p.files[name]
	}
	return files
}

// fault notes a finding at a node; a nil node stands for the file's beginning.
func (p *project) fault(f *file, at *node, rule, format string, args ...any) {
	line := 1
	if at != nil {
		line = at.Line
	}
	p.findings = append(p.findings, finding{file: f.path, line: line, rule: rule, text: fmt.Sprintf(format, args...)})
}

// target returns the file that a module or using statement of f names, nil if there is none.
func (p *project) target(f *file, label string) *file {
	if label == "" || path.IsAbs(label) {
		return nil
	}
	return p.files[path.Join(path.Dir(f.path), label)]
}
