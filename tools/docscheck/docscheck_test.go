// Package docscheck checks the Markdown pages of the repository offline: that links lead to files and headings that exist,
// that every page of docs can be reached from the README, and that docs/comparison.md proves each yes by a test. It holds tests
// only. What the pages say about settings, states, limits and problems is compared beside the code that they describe.
package docscheck

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

var (
	fence   = regexp.MustCompile("(?ms)^ *```.*?^ *```$|`[^`\n]*`")
	link    = regexp.MustCompile(`\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	isTest  = regexp.MustCompile(`^Test\w+$`)
)

// target is where a link leads: a path from the root of the repository, and a heading's anchor or nothing.
type target struct{ text, path, anchor string }

func TestEveryLinkLeadsToAFileAndAHeading(t *testing.T) {
	t.Parallel()
	pages := read(t)
	require.Contains(t, pages, "README.md")
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		for _, l := range links(page, pages[page]) {
			if _, err := os.Stat(filepath.Join(root, l.path)); err != nil {
				t.Errorf("%s: [%s] leads to %s, which does not exist", page, l.text, l.path)
				continue
			}
			text, isPage := pages[l.path]
			if l.anchor != "" && isPage && !slices.Contains(anchors(text), l.anchor) {
				t.Errorf("%s: [%s] leads to %s#%s: no such heading", page, l.text, l.path, l.anchor)
			}
		}
	}
}

func TestEveryPageCanBeReachedFromTheReadme(t *testing.T) {
	t.Parallel()
	pages := read(t)
	reached := map[string]bool{}
	for todo := []string{"README.md"}; len(todo) > 0; {
		page := todo[0]
		todo = todo[1:]
		if reached[page] {
			continue
		}
		reached[page] = true
		for _, l := range links(page, pages[page]) {
			todo = append(todo, l.path)
			if l.path == "docs/adr" { // readers see its list
				for other := range pages {
					if path.Dir(other) == l.path {
						todo = append(todo, other)
					}
				}
			}
		}
	}
	for page := range pages {
		if !reached[page] {
			t.Errorf("%s: no way of links leads from README.md to it", page)
		}
	}
}

// The last column of each table of the comparison is ours. A yes has a link to a test that shows it, and every link that is
// named as a test leads to that test.
func TestTheComparisonProvesWhatItClaims(t *testing.T) {
	t.Parallel()
	const page = "docs/comparison.md"
	text := read(t)[page]
	claims := 0
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		feature, ours := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[len(cells)-1])
		tests := slices.DeleteFunc(links(page, line), func(l target) bool { return !isTest.MatchString(l.text) })
		if strings.HasPrefix(ours, "yes") && len(cells) > 2 {
			claims++
			if len(tests) == 0 {
				t.Errorf("%q: no test shows it", feature)
			}
		}
		for _, l := range tests {
			code, err := os.ReadFile(filepath.Join(root, l.path))
			if err != nil || !strings.Contains(string(code), "\nfunc "+l.text+"(t *testing.T)") {
				t.Errorf("%q: no %s in %s", feature, l.text, l.path)
			}
		}
	}
	require.Greater(t, claims, 30)
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"who-did-what", "at-least-once-503", "a_b-and-c", "who-did-what-1"},
		anchors("# Who did what?\n\n## At least once (`503`)\n### a_b and *C*\n```\n# no heading\n```\n## Who did what"))
}

// read gives the text of every page, by its path from the root, without what others wrote or a build made.
func read(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "dist" || name == "testdata") {
			return fs.SkipDir
		}
		if path.Ext(name) == ".md" {
			text, err := os.ReadFile(filepath.Join(root, p))
			pages[p] = string(text)
			return err
		}
		return nil
	})
	require.NoError(t, err)
	return pages
}

// links lists where the links of a page lead, without those to other sites.
func links(page, text string) []target {
	var found []target
	for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllStringFunc(text, blank), -1) {
		to, anchor, _ := strings.Cut(m[2], "#")
		if strings.Contains(to, ":") {
			continue
		}
		at := page
		if to != "" {
			at = path.Join(path.Dir(page), to)
		}
		found = append(found, target{text: m[1], path: at, anchor: anchor})
	}
	return found
}

// blank stands for code, in which brackets are no links.
func blank(code string) string { return strings.Repeat("c", min(len(code), 1)) }

// anchors lists those of a page's headings as GitHub makes them: lower case, without punctuation, hyphens for spaces, and a
// number behind those that came before.
func anchors(text string) []string {
	var list []string
	block := regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	for _, m := range heading.FindAllStringSubmatch(block.ReplaceAllString(text, ""), -1) {
		plain := link.ReplaceAllString(m[1], "$1")
		slug := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(plain), ""), " ", "-")
		list = append(list, slug)
	}
	seen := map[string]int{}
	for i, slug := range list {
		if n := seen[slug]; n > 0 {
			list[i] = slug + "-" + string(rune('0'+n))
		}
		seen[slug]++
	}
	return list
}
