package topologies

import (
	"fmt"
	"os"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// Parse reads a topology file, fills in its defaults and checks it. What is wrong it reports all at once, as
// manifest.Errors in the order of the file. File is what errors call it.
func Parse(file string, data []byte) (*Topology, error) {
	t := &Topology{}
	positions, decodeErr := manifest.Decode(file, data, t)
	Default(t)
	if err := positions.Merge(decodeErr, Validate(t)); err != nil {
		return nil, err
	}
	return t, nil
}

// ParseFile reads, completes and checks the topology in a file.
func ParseFile(path string) (*Topology, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	return Parse(path, data)
}
