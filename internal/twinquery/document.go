package twinquery

// Document is what a query reads: a twin or a job row. Values are what encoding/json makes of JSON: nil, bool, float64 or
// json.Number (or any Go integer), string, map[string]any, []any. The package never changes them.
type Document interface {
	// Lookup returns the value at path; ok is false if there is none. System names in path have their documented
	// spelling (deviceId, connectionState, properties, desired); tag and property keys are exactly as written in the query.
	// Lookup must not keep path.
	Lookup(path []string) (v any, ok bool)
	// All returns the whole document, for SELECT *.
	All() map[string]any
}

// Map is a [Document] over decoded JSON.
type Map map[string]any

// Lookup walks the nested maps.
func (m Map) Lookup(path []string) (any, bool) {
	var v any = map[string]any(m)
	for _, elem := range path {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[elem]; !ok {
			return nil, false
		}
	}
	return v, true
}

// All returns the map itself.
func (m Map) All() map[string]any { return m }
