package tables

import "github.com/dsrlab/dsrlab/dataplane/bpf"

// MapUsage is how full a map is.
type MapUsage struct {
	Name     string `json:"name"`
	Used     int    `json:"used"`     // entries
	Capacity int    `json:"capacity"` // entries
	// Evicts: when it is full the least recently used entry goes, instead of the new one being refused.
	Evicts bool `json:"evicts,omitempty"`
}

// Setting is the one of dsrd's configuration that gives the map more entries.
func (u MapUsage) Setting() string { return settingOf(u.Name) }

// Usage is how full the maps are that plans fill, sorted by name.
func (m *Mirror) Usage() []MapUsage {
	used := map[string]int{
		bpf.DatapathMapServiceNames: len(m.ports.names.entries), bpf.DatapathMapBackends: len(m.backends.entries),
		bpf.DatapathMapLocalBackends: len(m.local.entries), bpf.DatapathMapRanges: len(m.ranges.entries),
		bpf.DatapathMapFrontends: len(m.frontends.entries), bpf.DatapathMapPods: len(m.pods.entries),
		bpf.DatapathMapNodes: len(m.nodes.entries), bpf.DatapathMapCluster: len(m.cluster.entries),
		bpf.DatapathMapSlots: m.sets.capacity - int(m.sets.rows.all().count()),
	}
	capacities := map[string]int{
		bpf.DatapathMapServiceNames: m.ports.capacity - 1, bpf.DatapathMapBackends: m.backends.capacity - 1,
		bpf.DatapathMapLocalBackends: m.local.capacity, bpf.DatapathMapRanges: m.ranges.capacity,
		bpf.DatapathMapFrontends: m.frontends.capacity, bpf.DatapathMapPods: m.pods.capacity,
		bpf.DatapathMapNodes: m.nodes.capacity, bpf.DatapathMapCluster: m.cluster.capacity,
		bpf.DatapathMapSlots: m.sets.capacity,
	}
	var all []MapUsage
	for _, name := range sortedNames(used) {
		all = append(all, MapUsage{Name: name, Used: used[name], Capacity: capacities[name]})
	}
	return all
}
