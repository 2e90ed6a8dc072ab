package localhost

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"regexp"
)

// traceparentRule is a W3C traceparent of version 00 (https://www.w3.org/TR/trace-context/#traceparent-header).
var traceparentRule = regexp.MustCompile(`^00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})$`)

// activity puts the host's own span of an invocation into a request to the handler, as .NET's HTTP client and proxy do: in the
// trace of the caller if he sent one, else in a new one, which nobody samples. Whether a host in Azure does so depends on its
// version and settings, so the handler must live without.
func activity(out http.Header, caller string) {
	var id [24]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	trace, flags := fmt.Sprintf("%x", id[8:]), "00"
	if m := traceparentRule.FindStringSubmatch(caller); m != nil {
		trace, flags = m[1], m[2]
	}
	out.Set("Traceparent", fmt.Sprintf("00-%s-%x-%s", trace, id[:8], flags))
}
