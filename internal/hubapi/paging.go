package hubapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// The paging headers (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-query-language).
const (
	headerContinuation = "x-ms-continuation"
	headerMaxItems     = "x-ms-max-item-count"
	headerItemType     = "x-ms-item-type"
)

// pageCap is the size of a page unless less is asked for; the hub ends at 100 too.
const pageCap = 100

func pageSize(r *request) (int, error) {
	text := r.Header.Get(headerMaxItems)
	if text == "" {
		return pageCap, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, argumentInvalid(headerMaxItems + " must be a positive integer")
	}
	return min(n, pageCap), nil
}

// cursor is where a listing goes on.
type cursor struct {
	List     int    `json:"l,omitempty"` // which of the lists of a filter
	Next     string `json:"n,omitempty"` // token of the store for what follows
	JobID    string `json:"j,omitempty"` // whose executions are being read
	RunID    string `json:"i,omitempty"` // in which run: a later one may have begun since
	Last     bool   `json:"e,omitempty"` // no job follows it
	Shard    int    `json:"s,omitempty"`
	Offset   int    `json:"o,omitempty"` // in the shard
	Returned int    `json:"r,omitempty"` // rows so far, for TOP
	Check    []byte `json:"c"`           // of the listing
}

func listingCheck(listing string) []byte {
	sum := sha256.Sum256([]byte(listing))
	return sum[:6]
}

// token gives c as text that only the same listing takes back.
func (c cursor) token(listing string) string {
	c.Check = listingCheck(listing)
	text, err := json.Marshal(c)
	if err != nil {
		return "" // cannot be: numbers and strings
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// parseCursor is the inverse of token; "" is the beginning.
func parseCursor(token, listing string) (cursor, error) {
	var c cursor
	if token == "" {
		return c, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil || string(c.Check) != string(listingCheck(listing)) || c.List < 0 || c.Shard < 0 || c.Offset < 0 || c.Returned < 0 {
		return cursor{}, errors.New("not a token of this listing")
	}
	return c, nil
}

// pageAnswer gives a page. The last one has no continuation at all: clients take an empty one for a further page.
func pageAnswer[T any](itemType string, items []T, next *cursor, listing string) *answer {
	header := http.Header{}
	header.Set(headerItemType, itemType)
	if next != nil {
		header.Set(headerContinuation, next.token(listing))
	}
	return &answer{body: items, header: header}
}
