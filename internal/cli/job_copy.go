package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobCopyEntry() entry {
	return entry{
		name: "job copy", args: "<job id>", summary: "create a job like another, with another id, target or start",
		text: `
The copy has the operation, target and rules of the job, which stays as it is, and starts at once unless --start or the file says
when. A file with -f holds, as JSON or YAML, members of a job that are to be other; null takes one away.`,
		example: `
fleetjobs job copy reboot-42 --id reboot-43 --query "tags.building = 43" --watch
echo '{"rollout":{"maximumPerMinute":50}}' | fleetjobs job copy reboot-42 --start +1h -f -`,
		make: func(m *Main) command { return &jobCopy{m: m, connection: connection{m: m}} },
	}
}

type jobCopy struct {
	m *Main
	connection
	follow

	file, id, query, start string
	devices                []string
}

func (c *jobCopy) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.file, "f", "", "`file` with other members of the job as JSON, or as YAML if its name ends so, - for JSON on standard input")
	fs.StringVar(&c.id, "id", "", "`id` of the new job; the service makes one unless given")
	fs.StringVar(&c.query, "query", "", "another `condition` that selects the devices")
	fs.Func("device", "`id` of a device to do it on instead; may be repeated", func(id string) error {
		c.devices = append(c.devices, id)
		return nil
	})
	fs.StringVar(&c.start, "start", "", "`when` to begin: 2027-01-31T04:00:00Z, or from now as in +20s, +90m; at once unless given")
	c.follow.flags(fs, "print the new job as JSON")
	c.connection.flags(fs)
}

func (c *jobCopy) run(ctx context.Context, args []string) error {
	id, err := oneArg("job copy", "a job id", args)
	if err != nil {
		return err
	}
	changes, key, err := c.changes()
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	job, err := api.Copy(ctx, id, key, changes)
	if err != nil {
		return err
	}
	return c.made(ctx, c.m, api, job)
}

// changes gives what is to be other, and, where that names no id, a key that makes repeating the request harmless.
func (c *jobCopy) changes() (changes []byte, key string, err error) {
	start, err := startTime(c.start, c.m.Now())
	if err != nil {
		return nil, "", err
	}
	members := map[string]json.RawMessage{}
	if c.file != "" {
		text, err := c.m.readJSON(c.file, "members of a job")
		if err != nil {
			return nil, "", err
		}
		if err := json.Unmarshal(text, &members); err != nil {
			return nil, "", fmt.Errorf("reading -f: %w", err)
		}
	}
	flags, err := json.Marshal(client.Definition{JobID: c.id, QueryCondition: c.query, DeviceIDs: c.devices, StartTime: start})
	if err == nil {
		err = json.Unmarshal(flags, &members)
	}
	if err == nil {
		changes, err = json.Marshal(members)
	}
	if err != nil {
		return nil, "", fmt.Errorf("encoding a copy: %w", err)
	}
	if members["jobId"] == nil {
		key = rand.Text()
	}
	return changes, key, nil
}
