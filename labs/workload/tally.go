package workload

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Tally formats counts by what they count, as in "657 completed, 342 reset": the largest first; "none" if there are none.
func Tally[K ~string](counts map[K]int) string {
	var parts []string
	for _, what := range slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b))
	}) {
		if counts[what] != 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[what], what))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}
