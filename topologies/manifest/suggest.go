package manifest

import (
	"slices"
	"strings"
)

// suggest is the known name that was probably meant by name.
func suggest(name string, known []string) (string, bool) {
	best, distance := "", max(len(name)/3, 1)
	for _, candidate := range known {
		if strings.EqualFold(candidate, name) {
			return candidate, true
		}
		if d := editDistance(strings.ToLower(name), strings.ToLower(candidate)); d <= distance && d < len(candidate) {
			if d < distance || best == "" {
				best, distance = candidate, d
			}
		}
	}
	return best, best != ""
}

// Suggest is `: did you mean "node"?` for a name close to a known one, else `: want one of a, b, c`. An error message about
// an unknown name ends with it.
func Suggest(name string, known []string) string {
	if near, ok := suggest(name, known); ok {
		return `: did you mean "` + near + `"?`
	}
	if len(known) == 0 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(known))
	const shown = 24
	if len(sorted) > shown {
		return ": want one of " + strings.Join(sorted[:shown], ", ") + " and others"
	}
	if len(sorted) == 1 {
		return ": want " + sorted[0]
	}
	return ": want one of " + strings.Join(sorted, ", ")
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours (optimal string alignment) that
// make b of a.
func editDistance(a, b string) int {
	const tooLong = 64
	if len(a) > tooLong || len(b) > tooLong {
		return tooLong
	}
	var before, previous []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, previous, row = previous, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := previous[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(previous[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
