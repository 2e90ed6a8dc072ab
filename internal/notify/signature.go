package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limits of Standard Webhooks for a key, in bytes
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
const (
	keyPrefix   = "whsec_"
	minKeyBytes = 24
	maxKeyBytes = 64
	maxKeys     = 4
)

// Keys sign callbacks, each with a signature of its own, so that receivers know the new one before the old one goes. They
// format as "(keys)".
type Keys struct{ keys [][]byte }

// String implements [fmt.Stringer] without showing a key.
func (Keys) String() string { return "(keys)" }

// GoString implements [fmt.GoStringer] without showing a key.
func (Keys) GoString() string { return "(keys)" }

var errKeys = errors.New("must be 1 to 4 keys, separated by commas, each whsec_ and the base64 of 24 to 64 random bytes")

// ParseKeys reads a list such as "whsec_MfKQ...,whsec_C2FV...". "" is no key. Its error does not hold the text.
func ParseKeys(text string) (Keys, error) {
	var keys Keys
	if text == "" {
		return keys, nil
	}
	for one := range strings.SplitSeq(text, ",") {
		encoded, ok := strings.CutPrefix(strings.TrimSpace(one), keyPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) < minKeyBytes || len(key) > maxKeyBytes {
			return Keys{}, errKeys
		}
		keys.keys = append(keys.keys, key)
	}
	if len(keys.keys) > maxKeys {
		return Keys{}, errKeys
	}
	return keys, nil
}

// sign sets the headers of Standard Webhooks: always id and time, and the signatures when there is a key.
func (k Keys) sign(h http.Header, id string, at time.Time, body []byte) {
	seconds := strconv.FormatInt(at.Unix(), 10)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", seconds)
	var signatures []string
	for _, key := range k.keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + seconds + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if signatures != nil {
		h.Set("Webhook-Signature", strings.Join(signatures, " "))
	}
}
