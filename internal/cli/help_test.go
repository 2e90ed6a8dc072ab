package cli_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/cli"
)

var update = flag.Bool("update", false, "rewrite the help texts in testdata")

// TestHelp keeps what a reader of the help sees in testdata/help; -update rewrites it.
func TestHelp(t *testing.T) {
	t.Parallel()
	w := setup(t)
	topics := []string{"", "job", "exit-codes"}
	require.Equal(t, cli.ExitOK, w.run(t, "help"))
	_, listing, _ := strings.Cut(w.out.String(), "Commands:\n")
	listing, _, _ = strings.Cut(listing, "\n\n")
	for line := range strings.Lines(listing) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), "  "); name != "version" {
			topics = append(topics, name)
		}
	}
	require.Greater(t, len(topics), 8)
	for _, topic := range topics {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			require.Equal(t, cli.ExitOK, w.run(t, append([]string{"help"}, strings.Fields(topic)...)...))
			require.Empty(t, w.errors.String())
			path := filepath.Join("testdata", "help", strings.ReplaceAll("fleetjobs "+topic, " ", "-")+".txt")
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, w.out.Bytes(), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), w.out.String())
			for line := range strings.Lines(w.out.String()) {
				require.LessOrEqual(t, len(strings.TrimSuffix(line, "\n")), 132)
			}
		})
	}
}

// TestHelpExamplesRun keeps the examples of the job commands true: every one of them is accepted.
func TestHelpExamplesRun(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/help/fleetjobs-job-*.txt")
	require.NoError(t, err)
	ran := 0
	for _, path := range files {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		_, examples, _ := strings.Cut(string(text), "Examples:\n")
		for line := range strings.Lines(examples) {
			_, command, ok := strings.Cut(strings.TrimSpace(line), "fleetjobs job ")
			if !ok || strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			w := setup(t)
			w.Stdin = strings.NewReader(`{}`)
			write(t, w, "job.json", `{}`)
			write(t, w, "job.yaml", `type: x`)
			write(t, w, "again.txt", "a\n")
			// The API answers 418, so a command that gets as far as asking it exits with 1; a usage error is 2.
			require.Equal(t, cli.ExitFailure, w.run(t, append([]string{"job"}, words(command)...)...), "%s\n%s", line, w.errors.String())
			ran++
		}
	}
	require.Greater(t, ran, 15)
}

// words splits a line as a shell would, up to its first operator.
func words(line string) []string {
	var all []string
	word, quote := "", rune(0)
	for _, r := range strings.TrimSpace(line) + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote = r
		case r != ' ':
			word += string(r)
		case word == "|" || word == "&&" || word == ">":
			return all
		case word != "":
			all, word = append(all, word), ""
		}
	}
	return all
}

func TestHelpIsEverywhere(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"--help", "-h", "help", "job --help", "job create --help", "job show x -h", "help job create"} {
		w := setup(t)
		require.Equal(t, cli.ExitOK, w.run(t, strings.Fields(line)...), line)
		require.Contains(t, w.out.String(), "Usage:", line)
	}
	w := setup(t)
	require.Equal(t, cli.ExitOK, w.run(t))
	require.Contains(t, w.out.String(), "Start here:")
	w = setup(t)
	require.Equal(t, cli.ExitOK, w.run(t, "--version"))
	require.Equal(t, "fleetjobs test\n", w.out.String())
}
