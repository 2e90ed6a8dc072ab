package hubsim_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// keyOf returns the key of a connection string.
func keyOf(t testing.TB, connectionString string) []byte {
	t.Helper()
	for field := range strings.SplitSeq(connectionString, ";") {
		if value, ok := strings.CutPrefix(field, "SharedAccessKey="); ok {
			key, err := base64.StdEncoding.DecodeString(value)
			require.NoError(t, err)
			return key
		}
	}
	t.Fatal("the connection string has no key")
	return nil
}
