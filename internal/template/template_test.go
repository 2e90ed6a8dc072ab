package template_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/template"
)

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // canonical, or the error
		`plain { } }} text`:                    `plain { } }} text`,
		`{{tags.site}}`:                        `{{tags.site}}`,
		`{{ tags.site }}`:                      `{{tags.site}}`,
		`a {{tags.[[my site]]}} b`:             `a {{tags.[[my site]]}} b`,
		`{{tags.[[site]]}}`:                    `{{tags.site}}`,
		`{{tags.größe-1}}`:                     `{{tags.größe-1}}`,
		`{{tags.site ?? "x"}}`:                 `{{tags.site ?? "x"}}`,
		`{{tags.site??'it\'s }} \\'}}`:         `{{tags.site ?? "it's }} \\"}}`,
		`{{tags.n ?? -1.5e3}}`:                 `{{tags.n ?? -1.5e3}}`,
		`{{tags.n ?? null}}{{a ?? false}}`:     `{{tags.n ?? null}}{{a ?? false}}`,
		`{{{{`:                                 `{{{{`,
		`{{{{tags.site}}`:                      `{{{{tags.site}}`,
		`{"n":{{tags.n}}}`:                     `{"n":{{tags.n}}}`,
		`{{{tags.n}}}`:                         `{{{tags.n}}}`,
		`{{{{{{tags.n}}`:                       `{{{{{{tags.n}}`,
		`{{`:                                   `at 2: must be a path`,
		`a{{}}`:                                `at 3: must be a path`,
		`{{tags.}}`:                            `at 7: must be a path`,
		`{{tags. site}}`:                       `at 7: must be a path`,
		`{{tags site}}`:                        `at 7: must go on with }}`,
		`{{tags.site}`:                         `at 11: must go on with }}`,
		`{{tags.$version}}`:                    `at 7: must be a path`,
		`{{tags.[[x}}`:                         `at 9: must be a name that ends with ]]`,
		`{{tags.site ?? }}`:                    `at 15: must be a default`,
		`{{tags.site ?? [1]}}`:                 `at 15: must be a default`,
		`{{tags.site ?? "x}}`:                  `at 15: must be a default`,
		`{{tags.site ?? 'x}}`:                  `at 19: must end with '`,
		`{{tags.site ?? x}}`:                   `at 15: must be a default`,
		`{{tags.site ?? "x" "y"}}`:             `at 19: must go on with }}`,
		`{{tags.site ? "x"}}`:                  `at 12: must go on with }}`,
		"{{tags.site\n}}":                      `at 11: must go on with }}`,
		`{{tags.a}} and {{tags.b ?? "{{c}}"}}`: `{{tags.a}} and {{tags.b ?? "{{c}}"}}`,
	} {
		got, err := template.ParseText(text)
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), want), "%s: %s, not %s", text, err, want)
			continue
		}
		require.Equal(t, want, got.String(), text)
	}
}

// TestTextsArePrintedAsTheyAreRead holds that what a program puts into literals stays literal.
func TestTextsArePrintedAsTheyAreRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.Custom(func(t *rapid.T) template.Part {
			if rapid.Bool().Draw(t, "literal") {
				return template.Part{Literal: rapid.StringOf(rapid.SampledFrom([]rune("{{{}a."))).Draw(t, "text")}
			}
			p := &template.Placeholder{Path: rapid.SliceOfN(rapid.SampledFrom([]string{"tags", "my site", "a.b", "{{"}), 1, 3).Draw(t, "path")}
			if rapid.Bool().Draw(t, "default") {
				p.Default = template.Quote(rapid.String().Draw(t, "value"))
			}
			return template.Part{Placeholder: p}
		})
		want := template.Join(rapid.SliceOf(part).Draw(t, "parts")...)
		got, err := template.ParseText(want.String())
		require.NoError(t, err, want.String())
		for _, p := range got {
			if p.Placeholder != nil {
				p.Placeholder.Offset = 0
			}
		}
		require.Empty(t, cmp.Diff(want, got), want.String())
	})
}

func TestValuesKeepTheirTypes(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"s": `"a \"b\" \u00e9 {{n}}"`, "n": `43`, "b": `true`, "o": `{"x":[1,"y"]}`, "a": `[]`, "big": `9007199254740993`, "f": `1.50`,
	}
	for raw, want := range map[string]string{
		`"{{s}}"`:                             `"a \"b\" \u00e9 {{n}}"`,
		`{"k":"{{n}}","l":["{{b}}","{{o}}"]}`: `{"k":43,"l":[true,{"x":[1,"y"]}]}`,
		`"{{big}}"`:                           `9007199254740993`,
		`"v{{f}}/{{b}}/{{big}}"`:              `"v1.50/true/9007199254740993"`,
		`"<{{s}}>"`:                           `"<a \"b\" \u00e9 {{n}}>"`,
		`" {{o}}"`:                            `" {\"x\":[1,\"y\"]}"`,
		`["{{missing ?? 'd'}}","{{missing ?? 4}}","{{missing ?? null}}","- {{missing ?? 4}}"]`: `["d",4,null,"- 4"]`,
		`"\u007b\u007Bn}}"`:      `43`,
		`"{{{{n}} is {{n}}"`:     `"{{n}} is 43"`,
		`"{{{{"`:                 `"{{"`,
		`{"a":"\ud800","n":1.0}`: `{"a":"\ud800","n":1.0}`,
	} {
		tpl, faults := template.Parse("payload", json.RawMessage(raw))
		require.Empty(t, faults, raw)
		got, err := tpl.Render(func(path []string) (json.RawMessage, bool) {
			v, ok := values[path[0]]
			return json.RawMessage(v), ok
		})
		require.NoError(t, err, raw)
		require.Equal(t, want, string(got), raw)
	}
}

func TestMissingValuesAreNamed(t *testing.T) {
	t.Parallel()
	tpl, faults := template.Parse("payload", json.RawMessage(`["{{a.b}}","{{c ?? 1}}","{{[[d e]]}} {{a.b}}"]`))
	require.Empty(t, faults)
	require.Len(t, tpl.Placeholders(), 4)
	_, err := tpl.Render(func([]string) (json.RawMessage, bool) { return nil, false })
	require.EqualError(t, err, "there is no value for a.b, [[d e]]")
}

func TestFaultsSayWhereTheyStand(t *testing.T) {
	t.Parallel()
	_, faults := template.Parse("payload", json.RawMessage(`{"door":[1,{"lock":"{{"}],"{{k}}":2,"x":{"y":["","a {{b ?? null}}"]}}`))
	var lines []string
	for _, f := range faults {
		lines = append(lines, f.Path+": "+f.Rule)
	}
	require.Len(t, lines, 3)
	require.Contains(t, lines[0], "payload.door[1].lock: at 2: must be a path")
	require.Contains(t, lines[1], "a key can hold neither")
	require.Contains(t, lines[2], "payload.x.y[1]: at 2: the default of a placeholder within a text can not be null")
}

// TestRenderingIsSubstitutionInTheTree compares with a plain walk over the decoded value, for values that try to break out.
func TestRenderingIsSubstitutionInTheTree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := anyJSON(2, rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`{{a}}`, `"`, `\`, `","x":"`, "{{", "é\u2028<"})))
		values := map[string]any{"a": value.Draw(t, "a"), "b": value.Draw(t, "b")}
		texts := rapid.StringOf(rapid.SampledFrom([]rune(`a{}"\<é`)))
		str := rapid.Custom(func(t *rapid.T) string {
			var parts []template.Part
			for range rapid.IntRange(0, 3).Draw(t, "parts") {
				if rapid.Bool().Draw(t, "literal") {
					parts = append(parts, template.Part{Literal: texts.Draw(t, "text")})
					continue
				}
				parts = append(parts, template.Part{Placeholder: &template.Placeholder{Path: []string{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "path")}}})
			}
			return template.Join(parts...).String()
		})
		tree := anyJSON(3, str).Draw(t, "tree")
		raw, err := json.Marshal(tree)
		require.NoError(t, err)
		tpl, faults := template.Parse("", raw)
		require.Empty(t, faults)
		got, err := tpl.Render(func(path []string) (json.RawMessage, bool) {
			v, err := json.Marshal(values[path[0]])
			return v, err == nil
		})
		require.NoError(t, err)
		var back any
		require.NoError(t, json.Unmarshal(got, &back), string(got))
		want, err := json.Marshal(substitute(tree, values))
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got))
	})
}

func anyJSON(depth int, str *rapid.Generator[string]) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kind := rapid.IntRange(0, 4).Draw(t, "kind")
		switch {
		case depth > 0 && kind == 3:
			return rapid.SliceOfN(anyJSON(depth-1, str), 0, 3).Draw(t, "array")
		case depth > 0 && kind == 4:
			return rapid.MapOfN(rapid.StringMatching(`[a-z"\\]{0,3}`), anyJSON(depth-1, str), 0, 3).Draw(t, "object")
		case kind == 1:
			return rapid.IntRange(-9, 9).Draw(t, "number")
		case kind == 2:
			return rapid.Bool().Draw(t, "bool")
		}
		return str.Draw(t, "string")
	})
}

// substitute is what Render must amount to.
func substitute(v any, values map[string]any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = substitute(v[i], values)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key := range v {
			out[key] = substitute(v[key], values)
		}
		return out
	case string:
		text, err := template.ParseText(v)
		if err != nil {
			return v
		}
		if p := text.Alone(); p != nil {
			return values[p.Path[0]]
		}
		out := ""
		for _, part := range text {
			if part.Placeholder == nil {
				out += part.Literal
			} else {
				out += plain(values[part.Placeholder.Path[0]])
			}
		}
		return out
	}
	return v
}

func plain(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	text, _ := json.Marshal(v)
	return string(text)
}

func TestMapReplacesStrings(t *testing.T) {
	t.Parallel()
	got, faults := template.Map("job", json.RawMessage(`{"a":"{{x}}","b":["y","{{{{"],"c":"{{"}`), func(path string, text template.Text) (json.RawMessage, string) {
		if text.Alone() == nil {
			return template.Quote(path), ""
		}
		return json.RawMessage("null"), "no"
	})
	require.JSONEq(t, `{"a":null,"b":["y","job.b[1]"],"c":"{{"}`, string(got))
	require.Equal(t, "[{job.a {{x}} no} {job.c {{ at 2: "+faults[1].Rule[6:]+"}]", fmt.Sprint(faults))
}

func TestLiteralsEscapeTheirBraces(t *testing.T) {
	t.Parallel()
	got := template.Escape(json.RawMessage(`{"a{{":"{{x}}","b":["{{{","{"]}`))
	require.JSONEq(t, `{"a{{":"{{{{x}}","b":["{{{{{","{"]}`, string(got))
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"a":"{{tags.site ?? 'x'}}","b":["{{{{","{{{deviceId}}"]}`, `"{{"`, `"\u007b{a.[[b c]]}}"`, `{"k\"{":{"x":["{{a}} {{b ?? \"}}\"}}"]}}`, `[]`, `1`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		tpl, faults := template.Parse("", raw)
		if len(faults) > 0 {
			return
		}
		for _, v := range []string{`"\"}{{x}}"`, `{"a":[null]}`, `-1.5`, `false`} {
			got, err := tpl.Render(func([]string) (json.RawMessage, bool) { return json.RawMessage(v), true })
			require.NoError(t, err)
			require.True(t, json.Valid(got), "%s became %s", raw, got)
		}
		if _, err := tpl.Render(func([]string) (json.RawMessage, bool) { return nil, false }); err != nil {
			require.NotEmpty(t, tpl.Placeholders())
		}
	})
}
