package topologies

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

//go:embed *.yaml
var catalogue embed.FS

// Catalogue lists the names of the topologies that come with the program, in alphabetical order.
func Catalogue() []string {
	entries, err := catalogue.ReadDir(".")
	if err != nil {
		return nil // cannot be: the folder is built in
	}
	var names []string
	for _, entry := range entries {
		names = append(names, strings.TrimSuffix(entry.Name(), path.Ext(entry.Name())))
	}
	slices.Sort(names)
	return names
}

// Source is the YAML file of a topology in the catalogue.
func Source(name string) ([]byte, error) {
	if !slices.Contains(Catalogue(), name) {
		return nil, fmt.Errorf("look up topology: there is none named %q%s", name, manifest.Suggest(name, Catalogue()))
	}
	return catalogue.ReadFile(name + ".yaml")
}

// Lookup returns a topology of the catalogue by its name.
func Lookup(name string) (*Topology, error) {
	data, err := Source(name)
	if err != nil {
		return nil, err
	}
	return Parse(name+".yaml", data)
}
