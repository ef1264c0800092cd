// Package words writes values as people read them, where Go would print them as Go.
package words

import (
	"fmt"
	"strings"
)

// List is all values, separated by commas; none is the word none.
func List[T any](all []T) string {
	if len(all) == 0 {
		return "none"
	}
	texts := make([]string, len(all))
	for i, v := range all {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, ", ")
}
