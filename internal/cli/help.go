package cli

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

const overview = `fleetjobs schedules jobs over fleets of Azure IoT Hub devices.

Usage:
  fleetjobs <command> [flags]

`

const overviewEnd = `
Start here:
  fleetjobs demo                    see everything work, in under two minutes
  fleetjobs dev                     a whole deployment on this machine, with simulated devices
  fleetjobs job create --method reboot --query "tags.building = 43" --watch

health, import and the job and template commands talk to the deployment that --url and --key or the environment variables
FLEETJOBS_URL and FLEETJOBS_KEY name, and without them to the one that 'fleetjobs dev' runs in the same folder. Where App
Service asks for a sign-in too, set FLEETJOBS_TOKEN.

More:
  fleetjobs help <command>          what a command does, its flags, examples
  fleetjobs help exit-codes         what the exit codes mean
`

const exitCodes = `Exit codes of fleetjobs:

    0  done; with --watch, 'job watch' and 'demo': the job completed and every device succeeded
    1  the command failed: no answer, no access, an unknown job, a failure of the service; 'health': there is a problem
    2  the command line or the job is malformed; repeating it will not help
    3  the job has ended, but was cancelled, failed, or has devices that did not succeed
  130  stopped by Ctrl-C before the end; a job that was watched goes on

'fleetjobs dev', 'hub' and 'device' run until Ctrl-C and then exit with 0.
`

// help prints the overview, or what topic is about.
func (m *Main) help(topic []string) error {
	name := strings.Join(topic, " ")
	if e, ok := find(name); ok {
		return m.commandHelp(e)
	}
	switch name {
	case "":
		return m.printOverview("")
	case "job", "template":
		return m.printOverview(name + " ")
	case "exit-codes":
		_, err := io.WriteString(m.Stdout, exitCodes)
		return err
	}
	return unknownCommand(name)
}

// printOverview lists the commands whose names begin with prefix.
func (m *Main) printOverview(prefix string) error {
	var b strings.Builder
	b.WriteString(overview)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "Commands:")
	for _, e := range entries() {
		if strings.HasPrefix(e.name, prefix) {
			_, _ = fmt.Fprintf(w, "  %s\t%s\n", e.name, e.summary)
		}
	}
	if prefix == "" {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", "version", "print the version")
	}
	_ = w.Flush()
	b.WriteString(overviewEnd)
	_, err := io.WriteString(m.Stdout, b.String())
	return err
}

func (m *Main) commandHelp(e entry) error {
	var b strings.Builder
	fmt.Fprintf(&b, "fleetjobs %s: %s\n\nUsage:\n  fleetjobs %s\n", e.name, e.summary, strings.Join(strings.Fields(e.name+" "+e.args+" [flags]"), " "))
	if e.text != "" {
		b.WriteString("\n" + strings.Trim(e.text, "\n") + "\n")
	}
	fs := flag.NewFlagSet(e.name, flag.ContinueOnError)
	e.make(m).flags(fs)
	b.WriteString("\nFlags:\n")
	fs.VisitAll(func(f *flag.Flag) { b.WriteString(flagHelp(f)) })
	b.WriteString("\nExamples:\n" + indent(strings.Trim(e.example, "\n")) + "\n")
	_, err := io.WriteString(m.Stdout, b.String())
	return err
}

// flagHelp gives a flag's lines: its name, what its value is, and what it means.
func flagHelp(f *flag.Flag) string {
	value, usage := flag.UnquoteUsage(f)
	if _, ok := f.Value.(*span); ok && value == "value" {
		value = "duration"
	}
	dashes := "--"
	if len(f.Name) == 1 {
		dashes = "-"
	}
	head := strings.TrimRight("  "+dashes+f.Name+" "+value, " ")
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
		usage += " (default " + f.DefValue + ")"
	}
	return head + "\n" + wrap(usage, 96, "        ") + "\n"
}

// wrap breaks text at spaces into lines of at most width columns, each after prefix.
func wrap(text string, width int, prefix string) string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, prefix+line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	return strings.Join(append(lines, prefix+line), "\n")
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(text, "\n", "\n  ")
}
