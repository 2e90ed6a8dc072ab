package azurite

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// DefaultAccount is the account every emulator release knows. Its key is public: see "Use the Azurite emulator for
// local Azure Storage development" on Microsoft Learn.
const DefaultAccount = "devstoreaccount1"

const defaultAccountKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

// maxAccountsBytes keeps AZURITE_ACCOUNTS below the 128 KiB that Linux allows for one environment variable.
const maxAccountsBytes = 120 << 10

// Credential is the name and the key of one storage account.
type Credential struct {
	Name string
	// Key is the shared key in base64, as connection strings carry it.
	Key string
}

// Account returns the credential of the account with that name. The key is derived from the name alone, so every
// process computes the same one; it protects nothing and is fit for an emulator on loopback only.
func Account(name string) Credential {
	if name == DefaultAccount {
		return Credential{Name: name, Key: defaultAccountKey}
	}
	sum := sha256.Sum256([]byte("fleetjobs/azurite/account/" + name))
	return Credential{Name: name, Key: base64.StdEncoding.EncodeToString(sum[:])}
}

// accountsEnv renders the value of AZURITE_ACCOUNTS.
func accountsEnv(names []string) (string, error) {
	pattern := regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	var b strings.Builder
	for _, name := range names {
		if !pattern.MatchString(name) {
			return "", fmt.Errorf("account name %q: want 3 to 24 lower-case letters and digits", name)
		}
		fmt.Fprintf(&b, "%s:%s;", name, Account(name).Key)
	}
	if b.Len() > maxAccountsBytes {
		return "", fmt.Errorf("%d accounts do not fit into one environment variable", len(names))
	}
	return b.String(), nil
}
