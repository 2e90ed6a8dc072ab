package azurecred

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

const publicSuffix = "core.windows.net"

// The account of the storage emulator; its key is published in Microsoft's documentation of Azurite.
const (
	emulatorAccount = "devstoreaccount1"
	emulatorKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// connectionString is the parsed form: lower-case names to values. See "Configure Azure Storage connection strings"
// on Microsoft Learn.
type connectionString map[string]string

// parseConnectionString splits name=value pairs. Names are matched without case; unknown ones are kept and ignored.
// Errors name settings but never repeat a value, which may be a secret.
func parseConnectionString(text string) (connectionString, error) {
	settings := connectionString{}
	for i, part := range strings.Split(text, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || name == "" {
			return nil, fmt.Errorf("part %d: want name=value", i+1)
		}
		if _, dup := settings[name]; dup {
			return nil, fmt.Errorf("part %d: the name occurs twice", i+1)
		}
		settings[name] = strings.TrimSpace(value)
	}
	return settings, nil
}

func (c connectionString) get(name string) string { return c[strings.ToLower(name)] }

// endpoint finds the endpoint of one service and what authorizes requests to it.
func (c connectionString) endpoint(s service) (endpoint, error) {
	if dev := c.get("UseDevelopmentStorage"); dev != "" {
		if !strings.EqualFold(dev, "true") {
			return endpoint{}, errors.New("UseDevelopmentStorage: want true")
		}
		return c.emulator(s)
	}
	e, err := c.authorization()
	if err != nil {
		return endpoint{}, err
	}
	e.url, err = c.serviceURL(s)
	return e, err
}

// emulator expands UseDevelopmentStorage=true. DevelopmentStorageProxyUri moves it to another host.
func (c connectionString) emulator(s service) (endpoint, error) {
	base := "http://127.0.0.1"
	if proxy := c.get("DevelopmentStorageProxyUri"); proxy != "" {
		clean, err := checkURL(proxy)
		if err != nil {
			return endpoint{}, fmt.Errorf("DevelopmentStorageProxyUri: %w", err)
		}
		base = clean
	}
	u, err := url.Parse(base)
	if err != nil {
		return endpoint{}, errors.New("DevelopmentStorageProxyUri: want a URL")
	}
	u.Host = net.JoinHostPort(u.Hostname(), s.emulatorPort())
	return endpoint{
		url: u.JoinPath(emulatorAccount).String(), account: emulatorAccount, key: emulatorKey, auth: authKey,
	}, nil
}

// authorization reads the account key, or else the signature.
func (c connectionString) authorization() (endpoint, error) {
	if key := c.get("AccountKey"); key != "" {
		if c.get("AccountName") == "" {
			return endpoint{}, errors.New("AccountKey without AccountName")
		}
		if _, err := base64.StdEncoding.DecodeString(key); err != nil {
			return endpoint{}, errors.New("AccountKey: want base64")
		}
		return endpoint{account: c.get("AccountName"), key: key, auth: authKey}, nil
	}
	sas := strings.TrimPrefix(c.get("SharedAccessSignature"), "?")
	if sas == "" {
		return endpoint{}, errors.New("want AccountName and AccountKey, SharedAccessSignature, or UseDevelopmentStorage=true")
	}
	if values, err := url.ParseQuery(sas); err != nil || values.Get("sig") == "" {
		return endpoint{}, errors.New("SharedAccessSignature: want a query string with sig")
	}
	return endpoint{sas: sas, auth: authSAS}, nil
}

// serviceURL is the explicit endpoint, or the one that account name, suffix and protocol stand for.
func (c connectionString) serviceURL(s service) (string, error) {
	if explicit := c.get(s.setting()); explicit != "" {
		clean, err := checkURL(explicit)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.setting(), err)
		}
		return clean, nil
	}
	account, protocol, suffix := c.get("AccountName"), c.get("DefaultEndpointsProtocol"), c.get("EndpointSuffix")
	if !isAccountName(account) {
		return "", fmt.Errorf("want %s, or AccountName of 3 to 24 lower-case letters and digits", s.setting())
	}
	if protocol == "" {
		protocol = "https"
	}
	if suffix == "" {
		suffix = publicSuffix
	}
	clean, err := checkURL(accountURL(strings.ToLower(protocol), account, s, suffix))
	if err != nil {
		return "", errors.New("DefaultEndpointsProtocol or EndpointSuffix: want https and a domain")
	}
	return clean, nil
}

func accountURL(protocol, account string, s service, suffix string) string {
	return protocol + "://" + account + "." + string(s) + "." + suffix
}
