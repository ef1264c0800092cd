package bpf

import (
	"cmp"
	"encoding/binary"
	"net/netip"

	"github.com/cilium/ebpf"
)

// ByName are the fields of all maps, by the names that the maps have in C.
func (m *DatapathMaps) ByName() map[string]**ebpf.Map {
	return map[string]**ebpf.Map{
		DatapathMapAffinities: &m.Affinities, DatapathMapBackends: &m.Backends, DatapathMapCluster: &m.Cluster,
		DatapathMapCounters: &m.Counters, DatapathMapEventCount: &m.EventCount, DatapathMapEvents: &m.Events, DatapathMapFlows: &m.Flows,
		DatapathMapFlowsUnconfirmed: &m.FlowsUnconfirmed, DatapathMapFragments: &m.Fragments, DatapathMapFrontends: &m.Frontends,
		DatapathMapHops: &m.Hops, DatapathMapLocalBackends: &m.LocalBackends, DatapathMapNodes: &m.Nodes,
		DatapathMapNodeFlows: &m.NodeFlows, DatapathMapOptionRequested: &m.OptionRequested,
		DatapathMapPods: &m.Pods, DatapathMapRanges: &m.Ranges, DatapathMapReplies: &m.Replies,
		DatapathMapRepliesUnconfirmed: &m.RepliesUnconfirmed, DatapathMapServiceCounters: &m.ServiceCounters,
		DatapathMapServiceNames: &m.ServiceNames, DatapathMapSlots: &m.Slots, DatapathMapSnapshots: &m.Snapshots,
		DatapathMapSnatPorts: &m.SnatPorts, DatapathMapSnatPortsUnconfirmed: &m.SnatPortsUnconfirmed, DatapathMapTracing: &m.Tracing,
	}
}

// ByName are the fields of all programs, by the names that the programs have in C.
func (p *DatapathPrograms) ByName() map[string]**ebpf.Program {
	return map[string]**ebpf.Program{
		DatapathProgFromNetwork: &p.FromNetwork, DatapathProgFromNetworkXdp: &p.FromNetworkXdp,
		DatapathProgFromPod: &p.FromPod, DatapathProgFromNode: &p.FromNode, DatapathProgToPod: &p.ToPod,
	}
}

// Addr is the address, an IPv4 one mapped into IPv6 in memory; zeroes are the zero Addr: not known.
func (w DatapathAddress) Addr() netip.Addr {
	if w == (DatapathAddress{}) {
		return netip.Addr{}
	}
	var b [16]byte
	for i, word := range w.Word {
		binary.NativeEndian.PutUint32(b[4*i:], word)
	}
	return netip.AddrFrom16(b).Unmap()
}

// Compare orders addresses as netip.Addr.Compare does.
func (w DatapathAddress) Compare(other DatapathAddress) int { return w.Addr().Compare(other.Addr()) }

// Compare orders prefixes by address, then by length.
func (k DatapathClusterKey) Compare(other DatapathClusterKey) int {
	return cmp.Or(k.Address.Compare(other.Address), cmp.Compare(k.Prefix, other.Prefix))
}

// String is the inverse of WireText.
func (n DatapathServiceName) String() string {
	var b []byte
	for _, c := range n.Text {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}
