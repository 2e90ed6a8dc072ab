package localhost

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRouteMatching(t *testing.T) {
	t.Parallel()
	const guid = "0f8fad5b-d9cb-469f-a165-70867728950e"
	none := map[string]string{}
	for _, test := range []struct {
		template, path string
		want           map[string]string // nil = no match
	}{
		{"", "/", none},
		{"", "/x", nil},
		{"api/jobs", "/api/jobs", none},
		{"api/jobs", "/API/Jobs/", none},
		{"api/jobs", "/api", nil},
		{"api/jobs", "/api/jobs/1", nil},
		{"api/jobs", "/api//jobs", nil},
		{"jobs/{id}", "/jobs/a%20b", map[string]string{"id": "a b"}},
		{"jobs/{id}", "/jobs/a%2Fb", map[string]string{"id": "a%2Fb"}},
		{"jobs/{id}", "/jobs/", nil},
		{"jobs/{id?}", "/jobs", none},
		{"jobs/{id=7}", "/jobs", map[string]string{"id": "7"}},
		{"jobs/{id:int}", "/jobs/12", map[string]string{"id": "12"}},
		{"jobs/{id:int}", "/jobs/x", nil},
		{"jobs/{id:int}", "/jobs/99999999999", nil},
		{"jobs/{id:long}", "/jobs/99999999999", map[string]string{"id": "99999999999"}},
		{"jobs/{id:guid}", "/jobs/" + guid, map[string]string{"id": guid}},
		{"jobs/{id:guid}", "/jobs/12", nil},
		{"jobs/{id:alpha}/x", "/jobs/aB/x", map[string]string{"id": "aB"}},
		{"jobs/{id:bool}", "/jobs/True", map[string]string{"id": "True"}},
		{"{*rest}", "/", map[string]string{"rest": ""}},
		{"jobs/{*rest}", "/jobs/a/b/", map[string]string{"rest": "a/b"}},
		{"jobs/{**rest}", "/jobs", map[string]string{"rest": ""}},
		{"jobs/{*rest}", "/job", nil},
	} {
		r, err := parseTemplate(test.template)
		require.NoError(t, err, test.template)
		got, ok := r.match(test.path)
		require.Equal(t, test.want != nil, ok, "%s on %s", test.template, test.path)
		if ok {
			require.Equal(t, test.want, got, "%s on %s", test.template, test.path)
		}
	}
}

func TestTemplatesAreRefused(t *testing.T) {
	t.Parallel()
	for _, template := range []string{"a//b", "{*rest}/x", "{a?}/b", "{a}/{A}", "x-{a}", "{a", "a}", "{}", "{a:regex(.*)}", "{a:range}", "a?b"} {
		_, err := parseTemplate(template)
		require.Error(t, err, template)
	}
}

// The first function by name wins, however specific another one's route is.
func TestRoutesAreTriedInOrderOfFunctionNames(t *testing.T) {
	t.Parallel()
	named := func(name, template string, methods ...string) *function {
		r, err := parseTemplate(template)
		require.NoError(t, err)
		r.methods = methods
		return &function{name: name, route: r}
	}
	functions := []*function{
		named("AddJob", "jobs", "POST"), named("AllJobs", "jobs/{*rest}", "GET"), named("GetJob", "jobs/{id}"), {name: "Timer"},
	}
	for _, test := range []struct{ method, path, want string }{
		{"GET", "/jobs/1", "AllJobs"},
		{"PUT", "/jobs/1", "GetJob"},
		{"POST", "/jobs", "AddJob"},
		{"DELETE", "/jobs", ""},
		{"GET", "/other", ""},
	} {
		fn, _ := findRoute(functions, test.method, test.path)
		if test.want == "" {
			require.Nil(t, fn, test)
			continue
		}
		require.NotNil(t, fn, test)
		require.Equal(t, test.want, fn.name)
	}
	functions[1].disabled = true
	fn, _ := findRoute(functions, "GET", "/jobs/1")
	require.Equal(t, "GetJob", fn.name)
}

// Whatever the template and path: no panic, every parameter comes from the path, and a literal template matches itself.
func FuzzRoute(f *testing.F) {
	for _, seed := range [][2]string{
		{"jobs/{id:int}", "/jobs/1"},
		{"{*rest}", "/a/b"},
		{"a/{b?}", "/a"},
		{"{x=1}", "/"},
		{"jobs/{id:guid}", "/jobs/%zz"},
		{"a/{b}/c", "//a//"},
		{"%", "/%2f"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, template, path string) {
		r, err := parseTemplate(template)
		if err != nil {
			return
		}
		params, ok := r.match(path)
		if !ok {
			require.Nil(t, params)
		}
		for name := range params {
			require.Contains(t, template, name)
		}
		if !strings.ContainsAny(template, "{}%/") && template != "" {
			_, ok := r.match("/" + template)
			require.True(t, ok)
		}
	})
}
