package hubsim

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash/fnv"
)

// position is where a query goes on. It names the last device instead of counting, so that changes of other devices between
// two pages neither repeat nor skip anything.
type position struct {
	// After is the id of the last device that was returned.
	After string `json:"a,omitempty"`
	// Returned counts the rows so far.
	Returned int `json:"n,omitempty"`
	// Repeat says that After is to be returned once more.
	Repeat bool `json:"r,omitempty"`
	// Query is the hash of the query's text.
	Query uint64 `json:"q"`
}

// token returns the position as a continuation token for a query.
func (p position) token(query string) string {
	p.Query = hashOf(query)
	// A struct of a string and numbers can always be encoded.
	text, _ := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(text)
}

// parsePosition reads a continuation token, which is good for the query only that it was made for.
func parsePosition(token, query string) (position, error) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return position{}, errors.New("the continuation token is not base64")
	}
	var p position
	if err := json.Unmarshal(text, &p); err != nil {
		return position{}, errors.New("the continuation token is broken")
	}
	if p.Query != hashOf(query) || p.Returned < 0 {
		return position{}, errors.New("the continuation token belongs to another query")
	}
	return p, nil
}

func hashOf(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()
}
