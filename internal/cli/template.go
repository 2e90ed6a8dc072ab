package cli

import (
	"context"
	"encoding/json"
	"flag"
	"strconv"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

const templatesPerPage = 100

func templatePutEntry() entry {
	return entry{
		name: "template put", args: "<template id>", summary: "store a template of jobs, or another version of it",
		text: `
A template has a "job", as 'job create -f' takes it but without jobId, and "parameters" with a name and a type each (string,
integer, number, boolean, array). Strings of the job hold {{parameters.name}} where a value is to stand; docs/parameters.md tells
more. Jobs that were made of an earlier version do not change.`,
		example: `
fleetjobs template put lock-building -f lock-building.yaml
fleetjobs job create --template lock-building -p building=43 --watch`,
		make: func(m *Main) command { return &templatePut{m: m, connection: connection{m: m}} },
	}
}

type templatePut struct {
	m *Main
	connection
	file string
	json bool
}

func (c *templatePut) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.file, "f", "", "`file` with the template as JSON, or as YAML if its name ends so, - for JSON on standard input")
	fs.BoolVar(&c.json, "json", false, "print the template as JSON")
	c.connection.flags(fs)
}

func (c *templatePut) run(ctx context.Context, args []string) error {
	id, err := oneArg("template put", "a template id", args)
	if err != nil {
		return err
	}
	if c.file == "" {
		return usagef(tryHelp("template put"), "which template? give its file with -f")
	}
	body, err := c.m.readJSON(c.file, "a template")
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	t, err := api.PutTemplate(ctx, id, body)
	if err != nil {
		return err
	}
	if c.json {
		return c.m.printJSON(t.Raw)
	}
	c.m.printf("template %s: version %d\n", plain(t.ID), t.Version)
	return nil
}

// readJSON reads a JSON object from a file, or from YAML.
func (m *Main) readJSON(path, what string) ([]byte, error) {
	body, err := m.readInput(path)
	if err != nil {
		return nil, usagef("give the path of a file, or - for standard input", "-f: %s", err)
	}
	if name := strings.ToLower(path); strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		if body, err = yamlJSON(body); err != nil {
			return nil, usagef("it must hold "+what+" as one YAML mapping", "-f %s: %s", path, err)
		}
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, usagef("it must hold "+what+" as one JSON object", "-f %s: %s", path, err)
	}
	return body, nil
}

func templateListEntry() entry {
	return entry{
		name: "template list", summary: "list the templates of jobs",
		text:    "They come by id, without their jobs: 'template show' has them.",
		example: "fleetjobs template list --all",
		make:    func(m *Main) command { return &templateList{m: m, connection: connection{m: m}} },
	}
}

type templateList struct {
	m *Main
	connection
	listing
}

func (c *templateList) flags(fs *flag.FlagSet) {
	c.listing.flags(fs, "templates")
	c.connection.flags(fs)
}

func (c *templateList) run(ctx context.Context, args []string) error {
	if err := noArgs("template list", args); err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	t := table[client.Template]{
		none:   "there is no template",
		header: []string{"TEMPLATE", "VERSION", "PARAMETERS", "DESCRIPTION"},
		row: func(t *client.Template) []string {
			return []string{plain(t.ID), strconv.Itoa(t.Version), cutTo(plain(parameterNames(t)), 50), cutTo(plain(t.Description), 60)}
		},
		raw: func(t *client.Template) json.RawMessage { return t.Raw },
	}
	return printPages(c.m, c.listing, t, func(continuation string) ([]client.Template, string, error) {
		page, err := api.Templates(ctx, client.ListOptions{PageSize: c.page(templatesPerPage), Continuation: continuation})
		if err != nil {
			return nil, "", err
		}
		return page.Templates, page.Continuation, nil
	})
}

func parameterNames(t *client.Template) string {
	names := make([]string, len(t.Parameters))
	for i, p := range t.Parameters {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

func templateShowEntry() entry {
	return entry{
		name: "template show", args: "<template id>", summary: "show a template as JSON",
		text:    "What it prints can be stored again with 'template put', but for the query of a callback, which nobody is shown.",
		example: "fleetjobs template show lock-building",
		make: func(m *Main) command {
			return newOneTemplate(m, "template show", func(ctx context.Context, api *client.Client, id string) error {
				t, err := api.Template(ctx, id)
				if err != nil {
					return err
				}
				return m.printJSON(t.Raw)
			})
		},
	}
}

func templateDeleteEntry() entry {
	return entry{
		name: "template delete", args: "<template id>", summary: "delete a template",
		text:    "Jobs that were made of it stay as they are.",
		example: "fleetjobs template delete lock-building",
		make: func(m *Main) command {
			return newOneTemplate(m, "template delete", func(ctx context.Context, api *client.Client, id string) error {
				if err := api.DeleteTemplate(ctx, id); err != nil {
					return err
				}
				m.printf("template %s: deleted\n", plain(id))
				return nil
			})
		},
	}
}

// oneTemplate is a command that does something with the template that its argument names.
type oneTemplate struct {
	connection
	name string
	do   func(ctx context.Context, api *client.Client, id string) error
}

func newOneTemplate(m *Main, name string, do func(context.Context, *client.Client, string) error) *oneTemplate {
	return &oneTemplate{connection: connection{m: m}, name: name, do: do}
}

func (c *oneTemplate) flags(fs *flag.FlagSet) { c.connection.flags(fs) }

func (c *oneTemplate) run(ctx context.Context, args []string) error {
	id, err := oneArg(c.name, "a template id", args)
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	return c.do(ctx, api, id)
}
