package dataplane

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// MapUsage is how full a map is.
type MapUsage struct {
	Name     string `json:"name"`
	Used     int    `json:"used"`     // entries
	Capacity int    `json:"capacity"` // entries
	// Evicts: when it is full the least recently used entry goes, instead of the new one being refused.
	Evicts bool `json:"evicts,omitempty"`
}

// MapUsage counts the entries of all maps that can become full, sorted by name. It reads the maps, which takes about a
// millisecond for ten thousand entries.
func (d *DataPath) MapUsage() ([]MapUsage, error) {
	o := &d.objects
	counts := map[string]func() (int, error){
		datapathMapFrontends:            count[datapathServiceKey, datapathFrontend](o.Frontends),
		datapathMapSlots:                d.countRows,
		datapathMapBackends:             d.countBackends,
		datapathMapPods:                 count[datapathAddress, datapathPod](o.Pods),
		datapathMapLocalBackends:        count[datapathServiceKey, datapathPod](o.LocalBackends),
		datapathMapNodes:                count[datapathAddress, datapathNode](o.Nodes),
		datapathMapCluster:              count[datapathClusterKey, uint8](o.Cluster),
		datapathMapRanges:               count[datapathRangeKey, uint8](o.Ranges),
		datapathMapServiceNames:         count[uint32, datapathServiceName](o.ServiceNames),
		datapathMapFlows:                count[datapathFlowKey, datapathFlow](o.Flows),
		datapathMapFlowsUnconfirmed:     count[datapathFlowKey, datapathFlow](o.FlowsUnconfirmed),
		datapathMapSnatPorts:            count[datapathSnatKey, datapathSnat](o.SnatPorts),
		datapathMapSnatPortsUnconfirmed: count[datapathSnatKey, datapathSnat](o.SnatPortsUnconfirmed),
		datapathMapReplies:              count[datapathFlowKey, datapathReply](o.Replies),
		datapathMapRepliesUnconfirmed:   count[datapathFlowKey, datapathReply](o.RepliesUnconfirmed),
		datapathMapAffinities:           count[datapathAffinityKey, datapathAffinity](o.Affinities),
		datapathMapFragments:            count[datapathFragmentKey, datapathFragment](o.Fragments),
	}
	maps := o.datapathMaps.byName()
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
	sets := make(map[datapathBackendSet]bool)
	err := readEntries(d.objects.Frontends, func(_ datapathServiceKey, f datapathFrontend) {
		sets[f.Outside], sets[f.Inside] = true, true
	})
	rows := 0
	for set := range sets {
		rows += int(rowsOf(set.Size))
	}
	return rows, err
}
