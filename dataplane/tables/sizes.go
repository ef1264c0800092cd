package tables

import (
	"cmp"
	"fmt"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// Capacities are those of maps in entries, by the maps' names in C.
type Capacities map[string]uint32

// Sizes are map capacities in entries; zero takes the default. What an entry takes in the kernel's memory is stated: of
// tables with "at once" for all entries when the maps are made, of the others when an entry is put in, apart from 16 bytes
// at once per entry of capacity for those that hash.
type Sizes struct {
	Services      uint32 `json:"services,omitempty"`      // ports of services, default 4096; 56 bytes a CPU at once, 264 when used
	Frontends     uint32 `json:"frontends,omitempty"`     // with one for each LoadBalancer, external or cluster address; default 131072; 104 bytes
	Slots         uint32 `json:"slots,omitempty"`         // rows for sets of backends, default 196608; 64 bytes at once. A set of up to 8 takes one, of up to 16 two, a larger or weighted one 2048
	Backends      uint32 `json:"backends,omitempty"`      // default 16384; 48 bytes at once
	LocalBackends uint32 `json:"localBackends,omitempty"` // this node's, default 4096; 88 bytes
	Pods          uint32 `json:"pods,omitempty"`          // this node's, default 1024; 80 bytes
	Nodes         uint32 `json:"nodes,omitempty"`         // addresses of nodes, default 4096; 72 bytes
	Cluster       uint32 `json:"cluster,omitempty"`       // prefixes of pods and nodes, default 8192; up to 128 bytes
	Ranges        uint32 `json:"ranges,omitempty"`        // loadBalancerSourceRanges of all services' ports, default 16384; up to 128 bytes

	// When one of these is full, the least recently used entry is evicted. A flow is unconfirmed until its client has sent a
	// second packet.
	Flows                uint32 `json:"flows,omitempty"`                // client to frontend, default 65536; 104 bytes at once
	FlowsUnconfirmed     uint32 `json:"flowsUnconfirmed,omitempty"`     // default 32768; likewise
	SNATPorts            uint32 `json:"snatPorts,omitempty"`            // LB node, default 32768; 128 bytes at once
	SNATPortsUnconfirmed uint32 `json:"snatPortsUnconfirmed,omitempty"` // default 16384; likewise
	Replies              uint32 `json:"replies,omitempty"`              // pod node, default 65536; 128 bytes at once
	RepliesUnconfirmed   uint32 `json:"repliesUnconfirmed,omitempty"`   // default 32768; likewise
	Affinities           uint32 `json:"affinities,omitempty"`           // clients of services with session affinity, default 32768; 88 bytes at once
	NodeFlows            uint32 `json:"nodeFlows,omitempty"`            // what the node begins itself from a NodePort, default 8192; 96 bytes at once
	Fragments            uint32 `json:"fragments,omitempty"`            // datagrams in fragments, default 8192; 96 bytes at once

	Events uint32 `json:"events,omitempty"` // flow events that are kept, a power of two (default 8192)
	Hops   uint32 `json:"hops,omitempty"`   // bytes of the ring for traced packets, a power of two and of pages (default 256 KiB)
}

// WithDefaults returns s with every zero field filled in.
func (s Sizes) WithDefaults() Sizes {
	for _, f := range s.fields() {
		*f.entries = cmp.Or(*f.entries, f.standard)
	}
	return s
}

// sizeField is a field of Sizes. Its name is that in dsrd's configuration file.
type sizeField struct {
	name     string
	entries  *uint32
	standard uint32
	maps     []string
}

// fields lists what s sizes. The pointers are into s.
func (s *Sizes) fields() []sizeField {
	return []sizeField{
		{"services", &s.Services, 4096, []string{bpf.DatapathMapServiceNames, bpf.DatapathMapServiceCounters}},
		{"frontends", &s.Frontends, 131072, []string{bpf.DatapathMapFrontends}},
		{"slots", &s.Slots, 196608, []string{bpf.DatapathMapSlots}},
		{"backends", &s.Backends, 16384, []string{bpf.DatapathMapBackends}},
		{"localBackends", &s.LocalBackends, 4096, []string{bpf.DatapathMapLocalBackends}},
		{"pods", &s.Pods, 1024, []string{bpf.DatapathMapPods}},
		{"nodes", &s.Nodes, 4096, []string{bpf.DatapathMapNodes}},
		{"cluster", &s.Cluster, 8192, []string{bpf.DatapathMapCluster}},
		{"ranges", &s.Ranges, 16384, []string{bpf.DatapathMapRanges}},
		{"flows", &s.Flows, 65536, []string{bpf.DatapathMapFlows}},
		{"flowsUnconfirmed", &s.FlowsUnconfirmed, 32768, []string{bpf.DatapathMapFlowsUnconfirmed}},
		{"snatPorts", &s.SNATPorts, 32768, []string{bpf.DatapathMapSnatPorts}},
		{"snatPortsUnconfirmed", &s.SNATPortsUnconfirmed, 16384, []string{bpf.DatapathMapSnatPortsUnconfirmed}},
		{"replies", &s.Replies, 65536, []string{bpf.DatapathMapReplies}},
		{"repliesUnconfirmed", &s.RepliesUnconfirmed, 32768, []string{bpf.DatapathMapRepliesUnconfirmed}},
		{"affinities", &s.Affinities, 32768, []string{bpf.DatapathMapAffinities}},
		{"nodeFlows", &s.NodeFlows, 8192, []string{bpf.DatapathMapNodeFlows}},
		{"fragments", &s.Fragments, 8192, []string{bpf.DatapathMapFragments}},
		{"events", &s.Events, 8192, []string{bpf.DatapathMapEvents}},
		{"hops", &s.Hops, 1 << 18, []string{bpf.DatapathMapHops}},
	}
}

// Capacities returns those of all maps that have a size. Zero fields give zero.
func (s Sizes) Capacities() Capacities {
	c := make(Capacities)
	for _, f := range s.fields() {
		for _, name := range f.maps {
			c[name] = *f.entries
		}
	}
	return c
}

// Check returns an error for each field that the data path is not loaded with.
func (s Sizes) Check() []error {
	s = s.WithDefaults()
	var errs []error
	for _, f := range s.fields() {
		least := map[string]uint32{"events": 64, "hops": 4096}[f.name]
		if least > 0 && (*f.entries < least || *f.entries&(*f.entries-1) != 0) {
			errs = append(errs, fmt.Errorf("sizes.%s: %d: must be a power of two from %d on", f.name, *f.entries, least))
		}
		if *f.entries > 1<<28 {
			errs = append(errs, fmt.Errorf("sizes.%s: %d: must be %d at most", f.name, *f.entries, 1<<28))
		}
	}
	return errs
}

// settingOf is the setting of dsrd's configuration file that a map's capacity comes from.
func settingOf(mapName string) string {
	for _, f := range new(Sizes).fields() {
		for _, name := range f.maps {
			if name == mapName {
				return "sizes." + f.name
			}
		}
	}
	return "sizes"
}
