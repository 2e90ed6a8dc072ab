package notify

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// What callbacks reach and do not reach without a setting: the table against server-side request forgery.
func TestOnlyPublicAddressesAreReached(t *testing.T) {
	t.Parallel()
	for text, public := range map[string]bool{
		"1.1.1.1": true, "20.50.2.1": true, "172.15.255.255": true, "172.32.0.1": true, "100.63.255.255": true,
		"100.128.0.1": true, "168.63.129.15": true, "198.17.255.255": true, "223.255.255.255": true,
		"2606:4700::1111": true, "2a01:111:f100::1": true, "2001:4860:4860::8888": true,
		"::ffff:1.1.1.1": true, "64:ff9b::1.1.1.1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false, "100.64.0.1": false,
		"100.127.255.255": false, "127.0.0.1": false, "127.255.255.254": false, "169.254.0.1": false,
		"172.16.0.1": false, "172.31.255.255": false, "192.0.0.1": false, "192.0.0.170": false, "192.0.2.1": false,
		"192.88.99.1": false, "192.168.0.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.7": false,
		"203.0.113.9": false, "224.0.0.1": false, "239.255.255.250": false, "240.0.0.1": false, "255.255.255.255": false,
		// Metadata and platform services of clouds.
		"169.254.169.254": false, "168.63.129.16": false, "fd00:ec2::254": false, "100.100.100.200": false,
		// IPv6.
		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "2606:4700::1%eth0": false, "fec0::1": false,
		"fc00::1": false, "fd12:3456::1": false, "ff02::1": false, "ff0e::1": false, "100::1": false, "2001:db8::1": false,
		"3fff::1": false, "5f00::1": false,
		// IPv4 inside IPv6, in every notation that hides a private address, and those that may hide any.
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:168.63.129.16": false,
		"::127.0.0.1": false, "::1.1.1.1": false, "::ffff:0:127.0.0.1": false, "64:ff9b::127.0.0.1": false,
		"64:ff9b::a9fe:a9fe": false, "64:ff9b:1::10.0.0.1": false, "64:ff9b:1::1.1.1.1": false,
		"2002:7f00:1::": false, "2002:a9fe:a9fe::1": false, "2002:0101:0101::1": false, "2001::1": false,
		"2001:0:4136:e378:8000:63bf:3fff:fdd2": false,
	} {
		require.Equal(t, public, Public(netip.MustParseAddr(text)), text)
	}
	require.False(t, Public(netip.Addr{}))
}

func TestTheGuardSeesTheAddressThatIsDialed(t *testing.T) {
	t.Parallel()
	some, err := ParseAllow("10.1.0.0/16, 127.0.0.1, fd00::/8")
	require.NoError(t, err)
	for address, allowed := range map[string]bool{
		"1.1.1.1:443": true, "[2606:4700::1111]:443": true, "10.1.255.1:443": true, "127.0.0.1:1": true, "[fd00::1]:443": true,
		"[::ffff:10.1.0.1]:443": true,
		"10.2.0.1:443":          false, "127.0.0.2:443": false, "[::1]:443": false, "[fe80::1%eth0]:443": false,
		"169.254.169.254:80": false, "not an address": false, "/run/some.socket": false, "": false,
	} {
		require.Equal(t, allowed, some.guard("tcp", address, nil) == nil, address)
	}
	require.Error(t, Allow{}.guard("tcp", "10.1.0.1:443", nil))
}

func TestURLsAreJudgedBeforeTheyAreStored(t *testing.T) {
	t.Parallel()
	some, err := ParseAllow("10.1.0.0/16,hooks.internal,dev.internal:8080,[::1]")
	require.NoError(t, err)
	for address, allowed := range map[string]bool{
		"https://example.com/hook?sig=1": true, "https://1.1.1.1/": true, "https://[2606:4700::1111]:8443/": true,
		"https://10.1.2.3/": true, "http://10.1.2.3:8080/": true, "https://hooks.internal/": true, "http://HOOKS.internal:99/": true,
		"http://dev.internal:8080/": true, "http://[::1]/": true, "https://1.example.com/": true,

		"http://example.com/": false, "http://1.1.1.1/": false, "http://dev.internal/": false, "ftp://example.com/": false,
		"https://127.0.0.1/": false, "https://10.2.0.1/": false, "https://[::ffff:127.0.0.1]/": false,
		"https://169.254.169.254/metadata/instance": false, "https://localhost/": false, "https://LOCALHOST./": false,
		"https://a.localhost/": false, "https://2130706433/": false, "https://0x7f000001/": false, "https://0x7f.1/": false,
		"https://127.1/": false, "https://0177.0.0.1/": false, "https://example.com.0/": false, "https://%zz/": false,
	} {
		require.Equal(t, allowed, some.CheckURL(address) == "", "%s: %s", address, some.CheckURL(address))
	}
}

func TestTheListOfWhatIsAllowedIsRead(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{"10.0.0.0/33", "http://a", "a/b", "a b", "a:", ":80", "a,b/c", "a@b", "a?b", "a:port"} {
		_, err := ParseAllow(wrong)
		require.Error(t, err, wrong)
	}
	none, err := ParseAllow(" , ")
	require.NoError(t, err)
	require.NotEmpty(t, none.CheckURL("https://127.0.0.1/"))
}

func FuzzParseAllow(f *testing.F) {
	f.Add("10.0.0.0/8, a.b:80, [::1]")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAllow(text)
		if err != nil {
			return
		}
		for _, n := range a.networks {
			require.True(t, n.IsValid())
		}
	})
}
