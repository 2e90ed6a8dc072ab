package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// templateFlags name a template that a job is made of, and the values of its parameters.
type templateFlags struct {
	template string
	values   []string // name=value
}

func (c *templateFlags) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.template, "template", "", "`id` of a template to make the job of; other flags take the place of what it says")
	fs.Func("p", "a parameter of the template as `name=value`, with arrays as JSON; may be repeated", func(value string) error {
		if name, _, ok := strings.Cut(value, "="); !ok || name == "" {
			return fmt.Errorf("%q is not name=value", value)
		}
		c.values = append(c.values, value)
		return nil
	})
}

// fill adds the template and the values, each with the type that the template declares, to the JSON of a job.
func (c *templateFlags) fill(ctx context.Context, api *client.Client, body []byte) ([]byte, error) {
	if c.template == "" {
		if len(c.values) > 0 {
			return nil, usagef("name it with --template", "-p goes with a template")
		}
		return body, nil
	}
	t, err := api.Template(ctx, c.template)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, fmt.Errorf("reading the job: %w", err)
	}
	values := map[string]json.RawMessage{}
	for _, pair := range c.values {
		name, value, _ := strings.Cut(pair, "=")
		if values[name], err = parameterValue(t, name, value); err != nil {
			return nil, err
		}
	}
	for name, value := range map[string]any{"template": c.template, "parameters": values} {
		if members[name], err = json.Marshal(value); err != nil {
			return nil, fmt.Errorf("writing the job: %w", err)
		}
	}
	if len(values) == 0 {
		delete(members, "parameters")
	}
	body, err = json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("writing the job: %w", err)
	}
	return body, nil
}

// parameterValue gives a value as JSON: text where the template wants a string, or does not know the name.
func parameterValue(t *client.Template, name, value string) (json.RawMessage, error) {
	i := slices.IndexFunc(t.Parameters, func(p client.Parameter) bool { return p.Name == name })
	if i >= 0 && t.Parameters[i].Type != "string" {
		if !json.Valid([]byte(value)) {
			return nil, usagef("see: fleetjobs template show "+plain(t.ID), "-p %s: %q is no %s", name, value, plain(t.Parameters[i].Type))
		}
		return json.RawMessage(value), nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("writing -p %s: %w", name, err)
	}
	return text, nil
}
