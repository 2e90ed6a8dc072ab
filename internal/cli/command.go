package cli

import (
	"context"
	"errors"
	"flag"
	"io"
	"slices"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/nearest"
)

// command is one command of the program: its flags, and what it does with the arguments that are left.
type command interface {
	flags(fs *flag.FlagSet)
	run(ctx context.Context, args []string) error
}

// entry is what the program knows of a command before it runs.
type entry struct {
	name    string // as typed, such as "job create"
	args    string // the arguments besides flags, such as "<job id>"
	summary string // one line, without a full stop
	text    string // what a reader of the help should know
	example string
	make    func(m *Main) command
}

// entries lists the commands in the order of the help.
func entries() []entry {
	return []entry{
		demoEntry(), devEntry(), hubEntry(), deviceEntry(), healthEntry(),
		jobCreateEntry(), jobListEntry(), jobShowEntry(), jobWatchEntry(), jobExecutionsEntry(), jobPauseEntry(), jobResumeEntry(),
		jobRunsEntry(), jobRunNowEntry(), jobBackfillEntry(), jobApproveEntry(), jobNextBatchEntry(), jobEditEntry(), jobRerunEntry(), jobCopyEntry(), jobCancelEntry(),
		jobDeleteEntry(), jobAuditEntry(), templatePutEntry(), templateListEntry(), templateShowEntry(), templateDeleteEntry(), importEntry(),
	}
}

func find(name string) (entry, bool) {
	all := entries()
	i := slices.IndexFunc(all, func(e entry) bool { return e.name == name })
	if i < 0 {
		return entry{}, false
	}
	return all[i], true
}

// dispatch finds the command that args name and runs it.
func (m *Main) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return m.help(nil)
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return m.help(args[1:])
	case "version", "-version", "--version":
		_, err := io.WriteString(m.Stdout, "fleetjobs "+m.Version+"\n")
		return err
	}
	name, rest := args[0], args[1:]
	if name == "job" || name == "template" {
		if len(rest) == 0 || isHelp(rest[0]) {
			return m.help(args[:1])
		}
		name, rest = name+" "+rest[0], rest[1:]
	}
	e, ok := find(name)
	if !ok && name == args[0] && len(rest) > 0 {
		name += " " + rest[0] // "jobs list", say
	}
	if !ok {
		return unknownCommand(name)
	}
	return m.execute(ctx, e, rest)
}

func isHelp(arg string) bool {
	return arg == "-h" || arg == "-help" || arg == "--help" || arg == "help"
}

// execute parses the flags of e and runs it.
func (m *Main) execute(ctx context.Context, e entry, args []string) error {
	c := e.make(m)
	fs := flag.NewFlagSet(e.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	c.flags(fs)
	rest, err := parse(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return m.help(strings.Fields(e.name))
	case err != nil:
		return usagef(tryHelp(e.name), "%s", flagFault(fs, err))
	}
	return c.run(ctx, rest)
}

// parse is fs.Parse that also takes flags after arguments, as in `job show my-job --json`.
func parse(fs *flag.FlagSet, args []string) ([]string, error) {
	var positional []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		rest := fs.Args()
		if len(rest) == 0 {
			return positional, nil
		}
		if used := len(args) - len(rest); used > 0 && args[used-1] == "--" {
			return append(positional, rest...), nil
		}
		positional = append(positional, rest[0])
		args = rest[1:]
	}
}

// flagFault says in our words what the flag package found, and which flag may have been meant.
func flagFault(fs *flag.FlagSet, err error) string {
	text := strings.Replace(err.Error(), ": parse error", "", 1)
	name, unknown := strings.CutPrefix(text, "flag provided but not defined: -")
	if !unknown {
		return text
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	text = "there is no flag --" + strings.TrimPrefix(name, "-")
	if near := nearest.Name(name, names); near != "" {
		text += "; did you mean --" + near + "?"
	}
	return text
}

func unknownCommand(name string) error {
	names := []string{"help", "version"}
	for _, e := range entries() {
		names = append(names, e.name)
	}
	hint := "try: fleetjobs help"
	if near := nearest.Name(name, names); near != "" {
		hint = "did you mean: fleetjobs " + near
	}
	return usagef(hint, "there is no command %q", plain(name))
}

func tryHelp(name string) string { return "try: fleetjobs help " + name }

// oneArg takes the single argument of a command.
func oneArg(name, what string, args []string) (string, error) {
	switch len(args) {
	case 0:
		return "", usagef(tryHelp(name), "%s: %s is missing", name, what)
	case 1:
		return args[0], nil
	}
	return "", usagef(tryHelp(name), "%s takes one argument, %s; %q is too much", name, what, args[1])
}

// noArgs refuses arguments.
func noArgs(name string, args []string) error {
	if len(args) > 0 {
		return usagef(tryHelp(name), "%s takes flags only; %q is too much", name, args[0])
	}
	return nil
}
