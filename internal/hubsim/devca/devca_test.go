package devca_test

import (
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/devca"
)

// TestTheServersCertificateIsStrict: OpenSSL's strict rules, which Python has applied since 3.13, want an authority key
// identifier (https://docs.python.org/3/library/ssl.html#ssl.VERIFY_X509_STRICT).
func TestTheServersCertificateIsStrict(t *testing.T) {
	t.Parallel()
	authority, err := devca.New([]string{"localhost", "127.0.0.1"})
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(authority.Server.Certificate[0])
	require.NoError(t, err)
	ca, err := x509.ParseCertificate(authority.Server.Certificate[1])
	require.NoError(t, err)
	require.NotEmpty(t, ca.SubjectKeyId)
	require.Equal(t, ca.SubjectKeyId, leaf.AuthorityKeyId)

	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(authority.PEM))
	for _, host := range []string{"localhost", "127.0.0.1"} {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
		require.NoError(t, err)
	}
}
