package manifest

import (
	"io"

	"github.com/dsrlab/dsrlab/internal/bounded"
)

// ReadFile reads a document, of a file or of a pipe.
func ReadFile(path string) ([]byte, error) { return bounded.ReadFile(path, bounded.Document) }

// Read reads a document to its end. Name is what errors call it.
func Read(name string, r io.Reader) ([]byte, error) { return bounded.Read(name, r, bounded.Document) }
