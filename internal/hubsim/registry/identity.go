package registry

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Keys are the symmetric keys of a device, in base64.
type Keys struct {
	Primary   string `json:"primaryKey"`
	Secondary string `json:"secondaryKey"`
}

// Thumbprints are those of a device's X.509 certificates.
type Thumbprints struct {
	Primary   *string `json:"primaryThumbprint"`
	Secondary *string `json:"secondaryThumbprint"`
}

// Identity is what the registry knows of a device apart from its twin.
type Identity struct {
	Disabled      bool
	StatusReason  string
	StatusUpdated time.Time // zero: never
	AuthType      string    // sas, selfSigned, certificateAuthority or none; empty means sas
	// Keys is nil for the keys that the simulator derives from its own secret and the device's id.
	Keys        *Keys
	Thumbprints Thumbprints
	EdgeCapable bool
	Scope       string
	ManagedBy   string // of modules
}

// Status returns "enabled" or "disabled".
func (id *Identity) Status() string {
	if id.Disabled {
		return "disabled"
	}
	return "enabled"
}

// Authentication returns the type of authentication.
func (id *Identity) Authentication() string {
	if id.AuthType == "" {
		return "sas"
	}
	return id.AuthType
}

const idExtras = "-:.+%_#*?!(),=@;$'"

// ModuleID returns the id that a module has here. No device has such an id, since theirs hold no slash.
func ModuleID(device, module string) string { return device + "/" + module }

// Path returns where a device or module stands below /devices in tokens and topics: d, or d/modules/m.
func Path(id string) string {
	if device, module, ok := strings.Cut(id, "/"); ok {
		return device + "/modules/" + module
	}
	return id
}

// ValidID reports whether a text can be the id of a device, or a module's own: up to 128 ASCII letters, digits and some punctuation.
func ValidID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte(idExtras, c) < 0 {
			return false
		}
	}
	return true
}

// ValidKey reports whether a text is base64 of 16 to 64 bytes.
func ValidKey(key string) bool {
	raw, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(raw) >= 16 && len(raw) <= 64
}

// derive returns the keys of a device that brought none of its own. They are the same as long as the secret is.
func derive(secret []byte, id string) Keys {
	key := func(kind string) string {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(kind + "/" + id))
		return base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return Keys{Primary: key("primary"), Secondary: key("secondary")}
}

// identityETag is in the form that the hub uses: base64 of a decimal number.
func identityETag(version uint32) string {
	return base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(403_000_000 + int(version))))
}
