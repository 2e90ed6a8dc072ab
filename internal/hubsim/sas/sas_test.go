package sas_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

var key = []byte("0123456789abcdef")

// signature is written out here, so that the package does not judge itself.
func signature(sr string, se int64) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(fmt.Appendf(nil, "%s\n%d", sr, se))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestEveryClientsWayOfSigning(t *testing.T) {
	t.Parallel()
	const se = 1999999999
	for name, test := range map[string]struct {
		sr     string
		layout string // %[1]s resource, %[2]s signature
		path   string
	}{
		"Go service":           {"localhost%3A8443", "sr=%[1]s&sig=%[2]s&se=1999999999&skn=service", "/twins/d/methods"},
		"Node service, raw sr": {"localhost:8443", "sr=%[1]s&sig=%[2]s&skn=service&se=1999999999", "/twins/d"},
		"signature last":       {"localhost", "se=1999999999&skn=&sr=%[1]s&sig=%[2]s", "/devices/query"},
		"device":               {"localhost%2Fdevices%2Fdev%201", "sr=%[1]s&sig=%[2]s&se=1999999999", "/devices/dev 1"},
		"device, lower escape": {"localhost%2fdevices%2fdev1", "sr=%[1]s&sig=%[2]s&se=1999999999", "/devices/dev1"},
		"Go device, host only": {"localhost", "sr=%[1]s&sig=%[2]s&se=1999999999", "/devices/dev1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "SharedAccessSignature " + fmt.Sprintf(test.layout, test.sr, url.QueryEscape(signature(test.sr, se)))

			token, err := sas.Parse(text)

			require.NoError(t, err)
			require.True(t, token.SignedBy(key))
			require.False(t, token.SignedBy([]byte("another key")))
			require.True(t, token.Covers(test.path))
			require.EqualValues(t, se, token.Expiry.Unix())
		})
	}
}

func TestSlashesInSignaturesMayStandUnescaped(t *testing.T) {
	t.Parallel()
	// Python's quote leaves slashes alone. Look for a signature with one.
	se := int64(1999999999)
	for !strings.Contains(signature("h", se), "/") {
		se++
	}
	sig := strings.ReplaceAll(url.QueryEscape(signature("h", se)), "%2F", "/")
	token, err := sas.Parse(fmt.Sprintf("SharedAccessSignature sr=h&sig=%s&se=%d", sig, se))
	require.NoError(t, err)
	require.True(t, token.SignedBy(key))
}

func TestCoverGoesBySegments(t *testing.T) {
	t.Parallel()
	token, err := sas.Parse(sas.New("hub/devices/ab", "", key, time.Now()))
	require.NoError(t, err)
	for path, covered := range map[string]bool{
		"/devices/ab": true, "/devices/ab/modules/m": true, "/devices/abc": false, "/devices": false, "/": false, "": false,
	} {
		require.Equal(t, covered, token.Covers(path), path)
	}
}

func TestSignatureCoversResourceAndExpiry(t *testing.T) {
	t.Parallel()
	text := sas.New("hub/devices/a", "service", key, time.Unix(1999999999, 0))
	for _, forged := range []string{
		strings.Replace(text, "devices%2Fa", "devices%2Fb", 1),
		strings.Replace(text, "se=1999999999", "se=2999999999", 1),
	} {
		token, err := sas.Parse(forged)
		require.NoError(t, err)
		require.False(t, token.SignedBy(key), forged)
	}
}

func TestMalformedTokens(t *testing.T) {
	t.Parallel()
	for text, reason := range map[string]string{
		"":                           "does not begin with",
		"Bearer x":                   "does not begin with",
		"SharedAccessSignature ":     "field without a value",
		"SharedAccessSignature sr=h": "sig is missing",
		"SharedAccessSignature sr=h&sr=h&sig=YQ==&se=1": "twice",
		"SharedAccessSignature sr=h&sig=YQ==&se=soon":   "no Unix time",
		"SharedAccessSignature sr=%zz&sig=YQ==&se=1":    "sr is not URL-encoded",
		"SharedAccessSignature sr=h&sig=*&se=1":         "not base64",
	} {
		_, err := sas.Parse(text)
		require.ErrorContains(t, err, reason, text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sas.New("localhost:8443", "service", key, time.Unix(1999999999, 0)))
	f.Add("SharedAccessSignature sr=localhost%2Fdevices%2Fd&sig=YQ%3D%3D&se=1&skn=")
	f.Add("SharedAccessSignature &=&=")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := sas.Parse(text)
		if err != nil {
			return
		}
		if token.SignedBy(key) && !strings.Contains(text, "sig=") {
			t.Fatalf("verified a token without a signature: %q", text)
		}
		if token.Path != "" && token.Path[0] != '/' {
			t.Fatalf("path %q", token.Path)
		}
		if !token.Covers(token.Path) || !token.Covers(token.Path+"/x") || token.Path != "" && token.Covers(token.Path+"x") {
			t.Fatalf("coverage of %q", token.Path)
		}
	})
}
