// Package schema is what the commands share that write JSON Schemas of files from Go types.
package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/invopop/jsonschema"
)

// Main is the main function of a command that `go generate` runs in its own folder: it writes file. generate's argument is the folder of
// the package that has the types, the one above.
func Main(file string, generate func(sources string) ([]byte, error)) {
	document, err := generate("..")
	if err == nil {
		err = os.WriteFile(file, document, 0o644)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "schema: %v\n", err)
		os.Exit(1)
	}
}

// Encode is the schema as a file.
func Encode(s *jsonschema.Schema) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(s); err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	// The library's own MarshalJSON escapes for HTML.
	return []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(out.String())), nil
}

// Text is a string of some form, given as a regular expression.
func Text(pattern, description string, examples ...any) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: pattern, Description: description, Examples: examples}
}

// Enum is a string that has one of some values, the empty one excluded.
func Enum[T ~string](values ...T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range values {
		if v != "" {
			s.Enum = append(s.Enum, string(v))
		}
	}
	return s
}
