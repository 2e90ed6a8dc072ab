// Package nearest finds the name that somebody probably meant: for error messages about settings, JSON members and commands.
// It owns the measure of closeness and nothing else.
package nearest

import "strings"

// maxName is the longest name that is compared; what is longer is no slip of the fingers.
const maxName = 80

// Name gives the known name closest to name, "" when none is close: at most a third of its bytes may differ, and more only
// when name is the end of a known name of several words.
func Name(name string, known []string) string {
	if len(name) > maxName {
		return ""
	}
	best, bestDistance := "", len(name)/3+1
	for _, k := range known {
		if strings.EqualFold(k, name) || len(name) > 2 && strings.HasSuffix(k, " "+name) {
			return k
		}
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements of a byte that lead from a to b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
