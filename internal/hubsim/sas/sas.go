// Package sas owns IoT Hub's shared access signature tokens: making, parsing and verifying them. It knows no keys by itself
// and does not decide what a token's holder may do.
//
// The format is documented in "Control access to IoT Hub by using shared access signatures"
// (https://learn.microsoft.com/azure/iot-hub/authenticate-authorize-sas). Clients differ in the order of the fields and in
// how they escape the resource; all agree that the signature covers the resource exactly as it stands in the token.
package sas

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const scheme = "SharedAccessSignature "

// Token is a parsed token; nothing in it is verified.
type Token struct {
	// Host is the host of the resource, as written (perhaps with a port).
	Host string
	// Path is the rest of the resource, unescaped: "" for the whole hub, "/devices/d1" for a device.
	Path string
	// Policy is the name of the key (skn); empty if a device's own key signed.
	Policy string
	// Expiry is the instant after which the token is worth nothing.
	Expiry time.Time

	signed    string // what the signature covers
	signature []byte
}

// Parse reads a token. Its errors name the fault, never the signature.
func Parse(text string) (Token, error) {
	if len(text) < len(scheme) || !strings.EqualFold(text[:len(scheme)], scheme) {
		return Token{}, errors.New("parsing SAS token: it does not begin with SharedAccessSignature")
	}
	fields, err := split(text[len(scheme):])
	if err != nil {
		return Token{}, err
	}
	seconds, err := strconv.ParseInt(fields["se"], 10, 64)
	if err != nil {
		return Token{}, errors.New("parsing SAS token: se is no Unix time")
	}
	resource, err := url.PathUnescape(fields["sr"])
	if err != nil {
		return Token{}, errors.New("parsing SAS token: sr is not URL-encoded")
	}
	signature, err := decodeSignature(fields["sig"])
	if err != nil {
		return Token{}, err
	}
	policy, err := url.PathUnescape(fields["skn"])
	if err != nil {
		return Token{}, errors.New("parsing SAS token: skn is not URL-encoded")
	}
	t := Token{Policy: policy, Expiry: time.Unix(seconds, 0), signed: fields["sr"] + "\n" + fields["se"], signature: signature}
	if i := strings.IndexByte(resource, '/'); i >= 0 {
		t.Host, t.Path = resource[:i], strings.TrimRight(resource[i:], "/")
	} else {
		t.Host = resource
	}
	return t, nil
}

func split(text string) (map[string]string, error) {
	fields := make(map[string]string, 4)
	for pair := range strings.SplitSeq(text, "&") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok {
			return nil, errors.New("parsing SAS token: a field without a value")
		}
		if _, twice := fields[name]; twice {
			return nil, errors.New("parsing SAS token: a field stands there twice")
		}
		fields[name] = value
	}
	for _, name := range [...]string{"sr", "sig", "se"} {
		if fields[name] == "" {
			return nil, fmt.Errorf("parsing SAS token: %s is missing", name)
		}
	}
	return fields, nil
}

func decodeSignature(text string) ([]byte, error) {
	unescaped, err := url.PathUnescape(text)
	if err != nil {
		return nil, errors.New("parsing SAS token: sig is not URL-encoded")
	}
	signature, err := base64.StdEncoding.DecodeString(unescaped)
	if err != nil {
		return nil, errors.New("parsing SAS token: sig is not base64")
	}
	return signature, nil
}

// SignedBy reports whether the key made the token's signature. It takes the same time whether they differ or not.
func (t Token) SignedBy(key []byte) bool { return hmac.Equal(t.signature, sign(key, t.signed)) }

// Covers reports whether the token's resource is the path or a prefix of it, segment by segment: /a/b covers /a/b/c and not
// /a/bc. The path is unescaped and begins with a slash.
func (t Token) Covers(path string) bool {
	n := len(t.Path)
	return len(path) >= n && strings.EqualFold(path[:n], t.Path) && (n == 0 || len(path) == n || path[n] == '/')
}

// New makes a token for a resource such as "localhost:8443" or "localhost/devices/d1". policy is empty when a device's own
// key signs.
func New(resource, policy string, key []byte, expiry time.Time) string {
	sr := url.QueryEscape(resource)
	se := strconv.FormatInt(expiry.Unix(), 10)
	sig := url.QueryEscape(base64.StdEncoding.EncodeToString(sign(key, sr+"\n"+se)))
	token := scheme + "sr=" + sr + "&sig=" + sig + "&se=" + se
	if policy != "" {
		token += "&skn=" + url.QueryEscape(policy)
	}
	return token
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
