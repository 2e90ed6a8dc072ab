package localhost

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
)

// answer is what a handler returns for an envelope. Unknown members are ignored.
type answer struct {
	Outputs     map[string]json.RawMessage
	Logs        []string
	ReturnValue json.RawMessage
}

// returnBinding is the binding name that takes ReturnValue.
const returnBinding = "$return"

// readAnswer decides what the host makes of a handler's answer to an envelope: a result, a failure, or errHang for
// the answers (204, empty, null) that the host never finishes with.
func readAnswer(response *http.Response, content []byte) (*answer, error) {
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, fmt.Errorf("response status code does not indicate success: %d (%s)",
			response.StatusCode, http.StatusText(response.StatusCode))
	}
	if len(content) == 0 && response.ContentLength == 0 || response.StatusCode == http.StatusNoContent {
		return nil, errHang
	}
	mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || (mediaType != "application/json" && mediaType != "text/json") {
		return nil, fmt.Errorf("invalid HttpResponseMessage: content type %q is not JSON; body %.200q",
			response.Header.Get("Content-Type"), content)
	}
	trimmed := bytes.TrimSpace(content)
	if len(trimmed) == 0 || string(trimmed) == "null" {
		return nil, errHang
	}
	var a answer
	if err := json.Unmarshal(trimmed, &a); err != nil {
		return nil, fmt.Errorf("invalid HttpResponseMessage: %w; body %.200q", err, content)
	}
	return &a, nil
}

// output returns the value for an output binding: from ReturnValue if the binding is named $return or ReturnValue
// is an object with that member, else from Outputs. nil means no output.
func (a *answer) output(b binding, bindings []binding) json.RawMessage {
	for _, other := range bindings {
		if other.Name != returnBinding {
			continue
		}
		if b.Name == returnBinding {
			return a.ReturnValue
		}
		return a.Outputs[b.Name]
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(a.ReturnValue, &members) == nil {
		if value, ok := members[b.Name]; ok {
			return value
		}
	}
	return a.Outputs[b.Name]
}

// queueMessages turns the value of a queue output into messages, with the host's conversions: a bare string that
// happens to be base64 is decoded, one that holds JSON is parsed, objects are indented, and only strings inside a
// list go out as they are.
func queueMessages(value json.RawMessage) ([]string, error) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 || string(value) == "null" {
		return nil, nil
	}
	switch value[0] {
	case '"':
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return nil, fmt.Errorf("reading output: %w", err)
		}
		if decoded, ok := dotnetBase64(text); ok {
			return []string{decoded}, nil
		}
		inner := []byte(strings.TrimSpace(text))
		if (bytes.HasPrefix(inner, []byte("{")) || bytes.HasPrefix(inner, []byte("["))) && json.Valid(inner) {
			return queueMessages(inner)
		}
		return []string{text}, nil
	case '[':
		var items []json.RawMessage
		if err := json.Unmarshal(value, &items); err != nil {
			return nil, fmt.Errorf("reading output: %w", err)
		}
		var texts []string
		for _, item := range items {
			if string(item) == "null" {
				continue
			}
			text, err := itemText(item)
			if err != nil {
				return nil, err
			}
			texts = append(texts, text)
		}
		return texts, nil
	default:
		text, err := itemText(value)
		return []string{text}, err
	}
}

// itemText is the message text of one JSON value.
func itemText(value json.RawMessage) (string, error) {
	if value[0] == '{' || value[0] == '[' {
		var out bytes.Buffer
		if err := json.Indent(&out, value, "", "  "); err != nil {
			return "", fmt.Errorf("reading output: %w", err)
		}
		return out.String(), nil
	}
	var scalar any
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	if err := decoder.Decode(&scalar); err != nil {
		return "", fmt.Errorf("reading output: %w", err)
	}
	return scalarText(scalar), nil
}

// dotnetBase64 decodes as Convert.FromBase64String does, which skips white space. Empty text is empty bytes.
func dotnetBase64(text string) (string, bool) {
	packed := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(text)
	decoded, err := base64.StdEncoding.DecodeString(packed)
	return string(decoded), err == nil
}
