package hubauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Grants is a set of permissions.
type Grants uint8

// The permissions. The first three are those of IoT Hub's shared access policies
// (https://learn.microsoft.com/azure/iot-hub/authenticate-authorize-sas#access-control-and-permissions).
const (
	ServiceConnect Grants = 1 << iota // jobs, queries, twins, direct methods
	RegistryRead                      // read device identities
	RegistryWrite                     // write device identities
	JobsRead                          // see jobs; part of ServiceConnect
	JobsWrite                         // create and cancel jobs, and see them; part of ServiceConnect
)

// Allow reports whether g holds a permission.
func (g Grants) Allow(needed Grants) bool { return g.spread()&needed == needed }

// spread adds the permissions that others include.
func (g Grants) spread() Grants {
	if g&ServiceConnect != 0 {
		g |= JobsWrite
	}
	if g&JobsWrite != 0 {
		g |= JobsRead
	}
	if g&RegistryWrite != 0 {
		g |= RegistryRead
	}
	return g
}

// grantOf gives the permission of a name as IoT Hub writes it, in whatever case.
func grantOf(name string) (Grants, bool) {
	switch strings.ToLower(name) {
	case "serviceconnect":
		return ServiceConnect, true
	case "registryread":
		return RegistryRead, true
	case "registrywrite":
		return RegistryWrite, true
	}
	return 0, false
}

const grantsRule = "ServiceConnect, RegistryRead and RegistryWrite, joined by +"

func parseGrants(text string) (Grants, error) {
	var all Grants
	for name := range strings.SplitSeq(text, "+") {
		one, ok := grantOf(name)
		if !ok {
			return 0, errors.New("its permissions must be " + grantsRule)
		}
		all |= one
	}
	return all, nil
}

// builtIn gives the permissions of the policies that every hub has; others have none unless they are stated.
func builtIn(policy string) Grants {
	switch strings.ToLower(policy) {
	case "iothubowner":
		return ServiceConnect | RegistryRead | RegistryWrite
	case "service":
		return ServiceConnect
	case "registryread":
		return RegistryRead
	case "registryreadwrite":
		return RegistryRead | RegistryWrite
	}
	return 0
}

// Policies are shared access policies by name.
type Policies map[string]Policy

// Policy is a shared access policy with one key or several, any of which signs.
type Policy struct {
	Grants Grants
	keys   [][]byte
}

// What a key and a name may be. IoT Hub's keys have 16 to 64 bytes.
const (
	minKey        = 16
	maxKey        = 64
	maxPolicyName = 64
)

// ParsePolicies reads policies from a setting: name=key, separated by commas. A key is base64 of 16 to 64 bytes; a policy that
// is named again has a further key. Names of IoT Hub's built-in policies have their permissions, others state them:
// name:ServiceConnect+RegistryRead=key.
func ParsePolicies(text string) (Policies, error) {
	policies := Policies{}
	if strings.TrimSpace(text) == "" {
		return policies, nil
	}
	for i, entry := range strings.Split(text, ",") {
		if err := policies.add(strings.TrimSpace(entry)); err != nil {
			return nil, fmt.Errorf("policy %d: %w", i+1, err)
		}
	}
	return policies, nil
}

func (p Policies) add(entry string) error {
	head, encoded, ok := strings.Cut(entry, "=")
	if !ok {
		return errors.New("must be name=key")
	}
	name, stated, explicit := strings.Cut(head, ":")
	if name == "" || len(name) > maxPolicyName || strings.ContainsFunc(name, notNameRune) {
		return fmt.Errorf("its name must have 1 to %d letters, digits and - . _", maxPolicyName)
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) < minKey || len(key) > maxKey {
		return fmt.Errorf("its key must be base64 of %d to %d bytes", minKey, maxKey)
	}
	grants := builtIn(name)
	if explicit {
		if grants, err = parseGrants(stated); err != nil {
			return err
		}
	}
	old, again := p[name]
	switch {
	case grants == 0:
		return errors.New("its permissions must be stated, as in name:ServiceConnect=key: it is not one of IoT Hub's built-in names")
	case again && old.Grants != grants:
		return errors.New("has other permissions than the policy of the same name before it")
	}
	p[name] = Policy{Grants: grants, keys: append(slices.Clip(old.keys), key)}
	return nil
}

func notNameRune(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._", c)
}

// ParsePrincipals reads from a setting which identities of Entra ID may do what: object id=permissions, separated by commas,
// such as 00000000-0000-0000-0000-000000000000=ServiceConnect+RegistryRead.
func ParsePrincipals(text string) (map[string]Grants, error) {
	principals := map[string]Grants{}
	if strings.TrimSpace(text) == "" {
		return principals, nil
	}
	for i, entry := range strings.Split(text, ",") {
		id, stated, _ := strings.Cut(strings.TrimSpace(entry), "=")
		id = strings.ToLower(id)
		if len(id) != 36 || strings.Trim(id, "0123456789abcdef-") != "" {
			return nil, fmt.Errorf("principal %d: must be object id=permissions, and the object id is not a GUID", i+1)
		}
		grants, err := parseGrants(stated)
		if err != nil {
			return nil, fmt.Errorf("principal %d: %w", i+1, err)
		}
		if _, twice := principals[id]; twice {
			return nil, fmt.Errorf("principal %d: is listed twice", i+1)
		}
		principals[id] = grants
	}
	return principals, nil
}
