package dataplane

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// TableUsage is MapUsage of the maps that Apply fills, from memory: it reads no map. It is empty before the first Apply.
func (d *DataPath) TableUsage() []MapUsage {
	if d.mirror == nil {
		return nil
	}
	return d.mirror.Usage()
}

// MapUsage counts the entries of all maps that can become full, sorted by name. It reads the maps, which takes about a
// millisecond for ten thousand entries.
func (d *DataPath) MapUsage() ([]MapUsage, error) {
	o := &d.objects
	counts := map[string]func() (int, error){
		bpf.DatapathMapFrontends:            count[bpf.DatapathServiceKey, bpf.DatapathFrontend](o.Frontends),
		bpf.DatapathMapSlots:                d.countRows,
		bpf.DatapathMapBackends:             d.countBackends,
		bpf.DatapathMapPods:                 count[bpf.DatapathAddress, bpf.DatapathPod](o.Pods),
		bpf.DatapathMapLocalBackends:        count[bpf.DatapathServiceKey, bpf.DatapathPod](o.LocalBackends),
		bpf.DatapathMapNodes:                count[bpf.DatapathAddress, bpf.DatapathNode](o.Nodes),
		bpf.DatapathMapCluster:              count[bpf.DatapathClusterKey, uint8](o.Cluster),
		bpf.DatapathMapRanges:               count[bpf.DatapathRangeKey, uint8](o.Ranges),
		bpf.DatapathMapServiceNames:         count[uint32, bpf.DatapathServiceName](o.ServiceNames),
		bpf.DatapathMapFlows:                count[bpf.DatapathFlowKey, bpf.DatapathFlow](o.Flows),
		bpf.DatapathMapFlowsUnconfirmed:     count[bpf.DatapathFlowKey, bpf.DatapathFlow](o.FlowsUnconfirmed),
		bpf.DatapathMapSnatPorts:            count[bpf.DatapathSnatKey, bpf.DatapathSnat](o.SnatPorts),
		bpf.DatapathMapSnatPortsUnconfirmed: count[bpf.DatapathSnatKey, bpf.DatapathSnat](o.SnatPortsUnconfirmed),
		bpf.DatapathMapReplies:              count[bpf.DatapathFlowKey, bpf.DatapathReply](o.Replies),
		bpf.DatapathMapRepliesUnconfirmed:   count[bpf.DatapathFlowKey, bpf.DatapathReply](o.RepliesUnconfirmed),
		bpf.DatapathMapAffinities:           count[bpf.DatapathAffinityKey, bpf.DatapathAffinity](o.Affinities),
		bpf.DatapathMapNodeFlows:            count[bpf.DatapathFlowKey, bpf.DatapathNodeFlow](o.NodeFlows),
		bpf.DatapathMapFragments:            count[bpf.DatapathFragmentKey, bpf.DatapathFragment](o.Fragments),
	}
	maps := o.DatapathMaps.ByName()
	var all []MapUsage
	for name, count := range counts {
		used, err := count()
		if err != nil {
			return nil, fmt.Errorf("count entries of map %s: %w", name, err)
		}
		m := *maps[name]
		all = append(all, MapUsage{Name: name, Used: used, Capacity: int(m.MaxEntries()), Evicts: m.Type() == ebpf.LRUHash})
	}
	slices.SortFunc(all, func(a, b MapUsage) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// count counts the entries of a hash map or trie.
func count[K, V any](m *ebpf.Map) func() (int, error) {
	return func() (int, error) {
		n := 0
		err := readEntries(m, func(K, V) { n++ })
		return n, err
	}
}

func (d *DataPath) countBackends() (int, error) {
	used, err := d.usedBackends()
	return len(used), err
}

// countRows counts the rows of the tables that frontends have.
func (d *DataPath) countRows() (int, error) {
	sets := make(map[bpf.DatapathBackendSet]bool)
	err := readEntries(d.objects.Frontends, func(_ bpf.DatapathServiceKey, f bpf.DatapathFrontend) {
		sets[f.Outside], sets[f.Inside] = true, true
	})
	rows := 0
	for set := range sets {
		rows += int(bpf.RowsOf(set.Size))
	}
	return rows, err
}
