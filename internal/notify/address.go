package notify

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// refusedPrefixes are networks that no callback may reach: those that IANA lists as not globally reachable
// (https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry),
// multicast, transition networks that can stand for any of them, and Azure's own platform address
// (https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16). Of IPv6 only global unicast is
// reachable at all.
var refusedPrefixes = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// nat64 carries an IPv4 address in its last four bytes (RFC 6052), and is how networks without IPv4 reach it.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(list))
	for i, text := range list {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// Public reports whether addr is one that anybody on the internet could call.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	if addr.Is6() && !globalUnicast.Contains(addr) { // one with a zone is in no network
		return false
	}
	for _, p := range refusedPrefixes {
		if p.Contains(addr) {
			return false
		}
	}
	return addr.IsValid()
}

// Allow lists what callbacks may reach although it is not public, or by plain http. The zero value allows nothing more.
type Allow struct {
	networks []netip.Prefix
	hosts    map[string]bool // "name" or "name:port", in lower case
}

// ParseAllow reads a list such as "10.1.0.0/16, hooks.internal, 127.0.0.1:8080": networks, and hosts with or without a
// port.
func ParseAllow(text string) (Allow, error) {
	a := Allow{hosts: map[string]bool{}}
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry == "" {
			continue
		}
		if network, err := netip.ParsePrefix(entry); err == nil {
			a.networks = append(a.networks, network.Masked())
			continue
		}
		if addr, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil {
			a.networks = append(a.networks, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
			continue
		}
		u, err := url.Parse("http://" + entry)
		if err != nil || u.Host != entry || u.Hostname() == "" || strings.HasSuffix(entry, ":") {
			return Allow{}, fmt.Errorf("must be networks like 10.1.0.0/16 and hosts like name or name:8080, separated by commas; %q is neither", entry)
		}
		a.hosts[entry] = true
	}
	return a, nil
}

// host reports whether a host of a URL is listed by its name, in whichever of its two forms.
func (a Allow) host(name, port string) bool {
	name = strings.ToLower(name)
	return a.hosts[name] || a.hosts[strings.ToLower(net.JoinHostPort(name, port))]
}

// addr reports whether an address is public or in a listed network.
func (a Allow) addr(addr netip.Addr) bool {
	return Public(addr) || a.listed(addr)
}

func (a Allow) listed(addr netip.Addr) bool {
	for _, network := range a.networks {
		if network.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// CheckURL gives the rule that an absolute http or https URL breaks, "" when it breaks none. What a name stands for is
// checked when it is dialed.
func (a Allow) CheckURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "must be an absolute https URL"
	}
	addr, err := netip.ParseAddr(u.Hostname())
	literal := err == nil
	listed := a.host(u.Hostname(), portOf(u)) || literal && a.listed(addr)
	switch {
	case listed:
		return ""
	case u.Scheme != "https":
		return "must be an https URL; http is for hosts that the setting FLEETJOBS_CALLBACK_ALLOW lists"
	case literal && !Public(addr), localName(u.Hostname()), !literal && numeric(u.Hostname()):
		return "must not lead to a private, loopback, link-local or otherwise special address, unless the setting " +
			"FLEETJOBS_CALLBACK_ALLOW lists it"
	}
	return ""
}

// localName reports whether a name never leaves the machine (RFC 6761).
func localName(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// numeric reports whether a name is one of the notations, such as 0x7f.1 and 2130706433, that some resolvers take for an
// IPv4 address: its last label is a number (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func numeric(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}
