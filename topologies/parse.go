package topologies

import (
	"fmt"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// Parse reads a topology file, as it is: PlanOf fills in its defaults and checks it. If the file can't be decoded, Parse reports
// all that is wrong with it at once, what PlanOf would find included, as manifest.Errors in the order of the file. File is
// what errors call it.
func Parse(file string, data []byte) (*Topology, error) {
	t := &Topology{}
	positions, err := manifest.Decode(file, data, t)
	if err != nil {
		invalid := tooMany(t)
		if invalid == nil {
			Default(t)
			_, invalid = validate(t)
		}
		return nil, positions.Merge(err, invalid)
	}
	t.positions = positions
	return t, nil
}

// ParseFile reads the topology in a file, as Parse does.
func ParseFile(path string) (*Topology, error) {
	data, err := manifest.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	return Parse(path, data)
}
