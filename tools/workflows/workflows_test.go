// Package workflows checks the files in .github/workflows offline: that what they run exists in this repository, that
// actions are pinned, and that rights are few. It holds tests only; GitHub alone knows whether a workflow works.
package workflows

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const root = "../.."

// workflow is the part of a workflow that the rules look at:
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax.
type workflow struct {
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]job    `yaml:"jobs"`
}

type job struct {
	Timeout     int               `yaml:"timeout-minutes"`
	Permissions map[string]string `yaml:"permissions"`
	Steps       []step            `yaml:"steps"`
}

type step struct {
	Uses yaml.Node `yaml:"uses"` // a node, for its comment
	Run  string    `yaml:"run"`
}

var (
	pinned     = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
	release    = regexp.MustCompile(`^# v\d+\.\d+\.\d+$`)
	separator  = regexp.MustCompile(`&&|\|\||[;|\n]`)
	target     = regexp.MustCompile(`(?m)^([a-zA-Z][\w-]*):`)
	goPackage  = regexp.MustCompile(`\bgo run (\./\S+)`)
	expression = regexp.MustCompile(`\$\{\{`)
)

func TestTheWorkflowsOfTheRepositoryKeepTheRules(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	paths, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.y*ml"))
	require.NoError(t, err)
	require.Len(t, paths, 2, "ci and release")
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Empty(t, faults(t, text, makefile))
		})
	}
}

func TestEachRuleFindsItsFault(t *testing.T) {
	t.Parallel()
	const makefile = "build:\n\tgo build\n"
	const sha = "0123456789012345678901234567890123456789"
	for name, c := range map[string]struct{ text, want string }{
		"no permissions":    {"jobs: {a: {timeout-minutes: 1}}", "no permissions"},
		"write for all":     {"permissions: {contents: write}\njobs: {a: {timeout-minutes: 1}}", "contents: write for every job"},
		"no jobs":           {"permissions: {contents: read}", "no jobs"},
		"no time limit":     {"permissions: {contents: read}\njobs: {a: {}}", "a: no timeout-minutes"},
		"no version at all": {steps("uses: actions/checkout"), "not pinned"},
		"a tag":             {steps("uses: actions/checkout@v6 # v6.0.2"), "not pinned"},
		"a short commit":    {steps("uses: actions/checkout@0123456 # v6.0.2"), "not pinned"},
		"commit, no name":   {steps("uses: actions/checkout@" + sha), "no version in a comment"},
		"unknown target":    {steps("run: make build && make nonsense"), "make nonsense: no such target"},
		"second target":     {steps("run: make -j2 X=1 build nonsense"), "make nonsense: no such target"},
		"in a block":        {steps("run: |\n          make build\n          CC=gcc make nonsense # why\n"), "make nonsense: no such target"},
		"missing package":   {steps("run: go run ./tools/nonsense"), "./tools/nonsense: no such package"},
		"injection":         {steps("run: echo ${{ github.head_ref }}"), "an expression inside a script"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := faults(t, []byte(c.text), []byte(makefile))
			require.Len(t, got, 1)
			require.Contains(t, got[0], c.want)
		})
	}
	good := steps("uses: actions/checkout@"+sha+" # v6.0.2") + "      - run: make -C . build # make more\n"
	require.Empty(t, faults(t, []byte(good), []byte(makefile)))
}

// steps returns a workflow that is in order, with one step.
func steps(step string) string {
	return "permissions: {contents: read}\njobs:\n  a:\n    timeout-minutes: 1\n    steps:\n      - " + step + "\n"
}

// faults lists what is wrong with a workflow.
func faults(t *testing.T, text, makefile []byte) (found []string) {
	t.Helper()
	var w workflow
	require.NoError(t, yaml.Unmarshal(text, &w))
	targets := map[string]bool{}
	for _, match := range target.FindAllSubmatch(makefile, -1) {
		targets[string(match[1])] = true
	}
	if len(w.Permissions) == 0 {
		found = append(found, "no permissions, so those of the repository's settings")
	}
	for scope, right := range w.Permissions {
		if right != "read" {
			found = append(found, fmt.Sprintf("%s: %s for every job", scope, right))
		}
	}
	if len(w.Jobs) == 0 {
		found = append(found, "no jobs")
	}
	for name, j := range w.Jobs {
		if j.Timeout == 0 {
			found = append(found, name+": no timeout-minutes")
		}
		for _, s := range j.Steps {
			found = append(found, actionFaults(s.Uses)...)
			found = append(found, scriptFaults(s.Run, targets)...)
		}
	}
	return found
}

// actionFaults demands a commit, since a tag can be moved, and the version that it stands for.
func actionFaults(uses yaml.Node) []string {
	switch {
	case uses.Value == "" || strings.HasPrefix(uses.Value, "./"):
		return nil
	case !pinned.MatchString(uses.Value):
		return []string{uses.Value + ": not pinned to a commit"}
	case !release.MatchString(uses.LineComment):
		return []string{uses.Value + ": no version in a comment"}
	}
	return nil
}

func scriptFaults(script string, targets map[string]bool) (found []string) {
	if expression.MatchString(script) {
		found = append(found, "an expression inside a script; hand it over in env: "+script)
	}
	for _, command := range separator.Split(script, -1) {
		for _, name := range madeTargets(command) {
			if !targets[name] {
				found = append(found, "make "+name+": no such target")
			}
		}
	}
	for _, match := range goPackage.FindAllStringSubmatch(script, -1) {
		if files, err := filepath.Glob(filepath.Join(root, match[1], "*.go")); err != nil || len(files) == 0 {
			found = append(found, match[1]+": no such package")
		}
	}
	return found
}

// madeTargets returns the targets if a command is a call of make.
func madeTargets(command string) (names []string) {
	command, _, _ = strings.Cut(command, " #")
	words := strings.Fields(command)
	for len(words) > 0 && strings.Contains(words[0], "=") {
		words = words[1:]
	}
	if len(words) == 0 || words[0] != "make" {
		return nil
	}
	for i := 1; i < len(words); i++ {
		switch {
		case words[i] == "-C" || words[i] == "-f":
			i++ // its argument
		case !strings.HasPrefix(words[i], "-") && !strings.Contains(words[i], "="):
			names = append(names, words[i])
		}
	}
	return names
}
