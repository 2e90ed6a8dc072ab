package cli

import (
	"cmp"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// The variables that name a deployment, in the environment and in dev.env.
const (
	urlVariable = "FLEETJOBS_URL"
	keyVariable = "FLEETJOBS_KEY"
	// approverVariable is a second key, which 'fleetjobs dev' has; a person puts it in the place of the first.
	approverVariable = "FLEETJOBS_APPROVER_KEY"
	tokenVariable    = "FLEETJOBS_TOKEN"
)

// connection is the part of a command line that names the deployment.
type connection struct {
	m               *Main
	url, key, token string
}

func (c *connection) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.url, "url", "", "`address` of the deployment, such as https://myfleet.azurewebsites.net; instead of "+urlVariable)
	fs.StringVar(&c.key, "key", "", "host `key` of the deployment; better in "+keyVariable+", where no process list shows it")
	fs.StringVar(&c.token, "token", "", "Microsoft Entra `token`, sent besides the key to a deployment behind Easy Auth; better in "+tokenVariable)
}

// open gives a client for the deployment that the flags name, else the environment, else .fleetjobs/dev.env.
func (c *connection) open() (*client.Client, error) {
	address, key, err := c.choose()
	if err != nil {
		return nil, err
	}
	api, err := client.New(address, key, &client.Options{
		HTTPClient: c.m.HTTP, Sleep: c.m.Sleep, Token: c.token, UserAgent: "fleetjobs/" + c.m.Version,
	})
	if err != nil {
		return nil, usagef("try: fleetjobs help", "%s", err)
	}
	return api, nil
}

func (c *connection) choose() (address, key string, err error) {
	address, key = cmp.Or(c.url, c.m.Getenv(urlVariable)), cmp.Or(c.key, c.m.Getenv(keyVariable))
	if address != "" {
		c.token = cmp.Or(c.token, c.m.Getenv(tokenVariable))
		return address, key, nil
	}
	path := filepath.Join(c.m.Dir, devEnvPath)
	values, err := readEnvFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == nil && values[urlVariable] == "":
		return "", "", usagef("give --url and --key, set "+urlVariable+" and "+keyVariable+", or run 'fleetjobs dev' in this folder",
			"no deployment is named, and there is no %s here", devEnvPath)
	case err != nil:
		return "", "", err
	}
	c.m.remark("using %s: %s", devEnvPath, values[urlVariable])
	return values[urlVariable], cmp.Or(key, values[keyVariable]), nil
}

// badRequest reports whether the service found the request itself at fault.
func badRequest(err error) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && (e.Status == http.StatusBadRequest || e.Status == http.StatusRequestEntityTooLarge)
}
