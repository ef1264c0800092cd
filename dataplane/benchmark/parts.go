package benchmark

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Parts are the XDP forward cut off after each of its parts, in their order.
func Parts() []string {
	return []string{"part_parse", "part_frontend", "part_flow", "part_checksum", "part_encapsulation"}
}

// LoadParts loads the programs of Parts, by name, with the maps and the constants of a data path that is loaded. The caller
// closes the collection.
func LoadParts(maps map[string]*ebpf.Map, constants map[string]*ebpf.VariableSpec) (*ebpf.Collection, error) {
	spec, err := loadParts()
	if err != nil {
		return nil, fmt.Errorf("load parts: %w", err)
	}
	shared := make(map[string]*ebpf.Map)
	for name, m := range spec.Maps {
		if with := maps[name]; with != nil {
			m.MaxEntries = with.MaxEntries()
			shared[name] = with
		}
	}
	for name, v := range spec.Variables {
		if from := constants[name]; from != nil {
			value := make([]byte, from.Size())
			if err := from.Get(&value); err != nil {
				return nil, fmt.Errorf("load parts: read constant %s: %w", name, err)
			}
			if err := v.Set(value); err != nil {
				return nil, fmt.Errorf("load parts: set constant %s: %w", name, err)
			}
		}
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	if err != nil {
		return nil, fmt.Errorf("load parts: %w", err)
	}
	return collection, nil
}
