package manifest

import (
	"slices"
	"strings"
)

// Positions are the lines and columns of a decoded document's fields.
type Positions struct {
	file   string
	found  map[string]position
	failed map[string]bool
}

type position struct{ line, column int }

func newPositions(file string) *Positions {
	return &Positions{file: file, found: map[string]position{}, failed: map[string]bool{}}
}

// File is the name of the file, as given to Decode.
func (p *Positions) File() string { return p.file }

// Find is the line and column of a field's value, or of the closest field around it that the file has: a field that is
// missing is looked for where it should be. Both are 0 in an empty document.
func (p *Positions) Find(field string) (line, column int) {
	for {
		if at, ok := p.found[field]; ok {
			return at.line, at.column
		}
		if field == "" {
			return 0, 0
		}
		field = parent(field)
	}
}

// Failed reports whether a field, or one around or within it, could not be decoded: then what a check finds there is noise.
func (p *Positions) Failed(field string) bool {
	for around := field; ; around = parent(around) {
		if p.failed[around] {
			return true
		}
		if around == "" {
			break
		}
	}
	for failed := range p.failed {
		if strings.HasPrefix(failed, field) && len(failed) > len(field) && (failed[len(field)] == '.' || failed[len(field)] == '[') {
			return true
		}
	}
	return false
}

// Merge joins what Decode found with what a check of the decoded value found, in the order of the file. Errors of the check
// get their lines and columns; those about fields that Decode could not read, or that follow from such, are left out. It is nil if nothing was found.
func (p *Positions) Merge(decoded, checked error) error {
	all := asErrors(decoded)
	for _, e := range asErrors(checked) {
		if p.Failed(e.Field) || slices.ContainsFunc(e.Follows, p.Failed) {
			continue
		}
		e.File = p.file
		e.Line, e.Column = p.Find(e.Field)
		all = append(all, e)
	}
	return all.sorted().Err()
}

// parent is the field around a field: spec.nodes of spec.nodes[1], and "" of spec.
func parent(field string) string {
	if strings.HasSuffix(field, "]") { // a key in brackets may hold dots
		return field[:max(strings.LastIndexByte(field, '['), 0)]
	}
	return field[:max(strings.LastIndexByte(field, '.'), 0)]
}
