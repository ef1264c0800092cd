// Package manifest reads YAML documents into Go types, strictly: a field that the type doesn't know, a field that is there
// twice, a value of the wrong type are errors, and all of them are reported at once, each with its line and column.
package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong in a document.
type Error struct {
	File string
	// Line and Column count from 1; 0 means that they are not known.
	Line, Column int
	// Field is the path to the field, as in spec.nodes[1].address; empty for the document as a whole.
	Field string
	// Message says what is wrong, and what would be right.
	Message string
	// Follows are other fields that the error follows from: if one of them could not be read, it may not be one.
	Follows []string
}

// Errorf is an error at a field; Positions.Merge adds its line and column.
func Errorf(field, format string, args ...any) Error {
	return Error{Field: field, Message: fmt.Sprintf(format, args...)}
}

// Error is FILE:LINE:COLUMN: FIELD: MESSAGE, without the parts that are not known.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
		if e.Column > 0 {
			fmt.Fprintf(&b, ":%d", e.Column)
		}
	}
	for _, part := range []string{e.Field, e.Message} {
		if b.Len() > 0 && part != "" {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	return b.String()
}

// Errors are all the things that are wrong in a document, one a line.
type Errors []Error

// Error joins them by line feeds.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single errors, for errors.Is and errors.As.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i := range e {
		all[i] = e[i]
	}
	return all
}

// Err is e as an error: nil if there are none.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// sorted is e in the order of the file, without repetitions.
func (e Errors) sorted() Errors {
	all := slices.Clone(e)
	slices.SortStableFunc(all, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.CompactFunc(all, func(a, b Error) bool { return a.Error() == b.Error() })
}

// asErrors takes the single errors out of err. One that is none of ours is of the document as a whole.
func asErrors(err error) Errors {
	if err == nil {
		return nil
	}
	var many Errors
	if errors.As(err, &many) {
		return many
	}
	var one Error
	if errors.As(err, &one) {
		return Errors{one}
	}
	return Errors{{Message: err.Error()}}
}
