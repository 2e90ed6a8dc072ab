package tablestore

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// Limits of one property and one entity
// (https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model).
const (
	binaryLimit = 64 << 10
	dataChunks  = 14
)

// entity is a row on its way to or from the service.
type entity map[string]any

func newEntity(partition, row string) entity {
	return entity{"PartitionKey": partition, "RowKey": row}
}

func (e entity) row() string { return e.text("RowKey") }

func (e entity) text(name string) string {
	s, _ := e[name].(string)
	return s
}

func (e entity) int(name string) int {
	f, _ := e[name].(float64)
	return int(f)
}

func (e entity) flag(name string) bool {
	b, _ := e[name].(bool)
	return b
}

func (e entity) putTime(name string, t time.Time) {
	if !t.IsZero() {
		e[name] = t.UTC().Format(time.RFC3339Nano)
	}
}

func (e entity) time(name string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, e.text(name))
	if err != nil {
		return time.Time{}
	}
	return t
}

// putBytes stores data under name, name1, name2, ... because a binary property holds 64 KiB.
func (e entity) putBytes(name string, data []byte) error {
	if len(data) > dataChunks*binaryLimit {
		return fmt.Errorf("storing %s: %d bytes do not fit a row", name, len(data))
	}
	for i := 0; i == 0 || len(data) > 0; i++ {
		n := min(len(data), binaryLimit)
		key := chunkName(name, i)
		e[key+"@odata.type"] = "Edm.Binary"
		e[key] = base64.StdEncoding.EncodeToString(data[:n])
		data = data[n:]
	}
	return nil
}

func (e entity) bytes(name string) ([]byte, error) {
	var data []byte
	for i := 0; ; i++ {
		text, ok := e[chunkName(name, i)].(string)
		if !ok {
			return data, nil
		}
		chunk, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("reading %s of row %s: %w", name, e.row(), err)
		}
		if data == nil {
			data = chunk
			continue
		}
		data = append(data, chunk...)
	}
}

func chunkName(name string, i int) string {
	if i == 0 {
		return name
	}
	return fmt.Sprintf("%s%d", name, i)
}

// putJSON stores v as JSON in binary chunks, which, unlike strings, neither end at 32,768 characters nor suffer from
// Azurite's handling of multi-byte text (https://github.com/Azure/Azurite/issues/2670).
func (e entity) putJSON(name string, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a payload of '<' would grow sixfold, past what the hub and the row take
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encoding %s of row %s: %w", name, e.row(), err)
	}
	return e.putBytes(name, b.Bytes())
}

func (e entity) json(name string, v any) error {
	data, err := e.bytes(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decoding %s of row %s: %w", name, e.row(), err)
	}
	return nil
}
