package hubauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	sasScheme = "SharedAccessSignature"
	maxSAS    = 4096 // bytes of the header
)

// sasToken is a shared access signature before it is verified.
type sasToken struct {
	host      string // of the resource, without port, lower case
	path      string // of the resource, unescaped, lower case; "" for all
	policy    string
	expiry    time.Time
	signed    string // what the signature covers: the resource as it was written, and the expiry
	signature []byte
}

// parseSAS reads what follows the scheme. Fields may come in any order. Clients differ in how they escape the resource, and
// sign what they wrote.
func parseSAS(text string) (sasToken, error) {
	var t sasToken
	fields, err := sasFields(text)
	if err != nil {
		return t, err
	}
	seconds, err := strconv.ParseInt(fields["se"], 10, 64)
	if err != nil || seconds < 0 {
		return t, errors.New("se is not a Unix time")
	}
	resource, err := url.PathUnescape(fields["sr"])
	if err != nil {
		return t, errors.New("sr is not URL-encoded")
	}
	if t.policy, err = url.PathUnescape(fields["skn"]); err != nil {
		return t, errors.New("skn is not URL-encoded")
	}
	signature, err := url.PathUnescape(fields["sig"])
	if err != nil {
		return t, errors.New("sig is not URL-encoded")
	}
	if t.signature, err = base64.StdEncoding.DecodeString(signature); err != nil {
		return t, errors.New("sig is not base64")
	}
	host, path, _ := strings.Cut(strings.ToLower(resource), "/")
	t.host = withoutPort(host)
	if path = strings.TrimRight(path, "/"); path != "" {
		t.path = "/" + path
	}
	t.expiry, t.signed = time.Unix(seconds, 0), fields["sr"]+"\n"+fields["se"]
	return t, nil
}

// sasFields splits a token into its four fields, each of which stands there once.
func sasFields(text string) (map[string]string, error) {
	fields := make(map[string]string, 4)
	for pair := range strings.SplitSeq(strings.TrimSpace(text), "&") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		switch name {
		case "sr", "sig", "se", "skn":
		default:
			return nil, errors.New("the signature has a field that is none of sr, sig, se and skn")
		}
		if _, twice := fields[name]; twice || value == "" {
			return nil, errors.New("the signature has an empty field, or one twice")
		}
		fields[name] = value
	}
	if len(fields) != 4 {
		return nil, errors.New("the signature lacks one of sr, sig, se and skn")
	}
	return fields, nil
}

// covers reports whether the token's resource is a path or a prefix of it by whole segments.
func (t sasToken) covers(path string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(path), t.path)
	return ok && (t.path == "" || rest == "" || rest[0] == '/')
}

// signedBy reports whether one of the keys made the signature, in a time that does not depend on where they differ.
func (t sasToken) signedBy(keys [][]byte) bool {
	found := false
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(t.signed)) // never fails, see hash.Hash
		if hmac.Equal(mac.Sum(nil), t.signature) {
			found = true
		}
	}
	return found
}

func withoutPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}
