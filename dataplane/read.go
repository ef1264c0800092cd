package dataplane

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Listed is a frontend as the tables hold it.
type Listed struct {
	Address  netip.AddrPort `json:"address"`
	Protocol string         `json:"protocol"`
	Service  string         `json:"service"`            // namespace/name:port/PROTO
	Number   uint32         `json:"number"`             // of the service's port, as in counters and events
	Kind     string         `json:"kind"`               // LoadBalancer, NodePort, ExternalIP or ClusterIP
	Mode     string         `json:"mode"`               // dsr or snat
	Local    bool           `json:"local,omitempty"`    // externalTrafficPolicy, for a ClusterIP internalTrafficPolicy: Local
	Random   bool           `json:"random,omitempty"`   // selects at random, not by the flow's hash
	Affinity uint32         `json:"affinity,omitempty"` // seconds for which a client keeps its backend
	Ranges   []netip.Prefix `json:"ranges,omitempty"`   // who may use it; none: all
	// Backends are those for clients outside of the cluster.
	Backends []ListedBackend `json:"backends"`
	// Inside are those for pods and nodes, where they are others.
	Inside []ListedBackend `json:"inside,omitempty"`
}

// ListedBackend is a backend of a frontend.
type ListedBackend struct {
	ID       uint32         `json:"id"`
	Serial   uint32         `json:"serial"` // changes when the ID goes to another backend
	Address  netip.AddrPort `json:"address"`
	Protocol string         `json:"protocol"`
	Node     netip.Addr     `json:"node"`            // where the tunnel to it ends
	Local    bool           `json:"local,omitempty"` // a pod of this node
	Share    float64        `json:"share"`           // of new flows, from 0 to 1
	Draining bool           `json:"draining,omitempty"`
	State    string         `json:"state"` // active, draining, or gone
}

// listing is what a List reads of the maps.
type listing struct {
	names    map[uint32]string
	ranges   map[uint32][]netip.Prefix
	backends map[uint32]bpf.DatapathBackend
	rows     map[uint32]bpf.DatapathRow
	sets     map[bpf.DatapathBackendSet][]ListedBackend // those read already: frontends share them
}

// List reads all frontends with their backends, sorted by address, port and protocol. It says what packets meet, not what was
// asked for.
func (d *DataPath) List() ([]Listed, error) {
	l := listing{
		ranges: make(map[uint32][]netip.Prefix), rows: make(map[uint32]bpf.DatapathRow), sets: make(map[bpf.DatapathBackendSet][]ListedBackend),
	}
	frontends := make(map[bpf.DatapathServiceKey]bpf.DatapathFrontend)
	var err error
	if l.names, err = d.serviceNames(); err == nil {
		l.backends, err = d.usedBackends()
	}
	err = errors.Join(err,
		readEntries(d.objects.Frontends, func(key bpf.DatapathServiceKey, f bpf.DatapathFrontend) { frontends[key] = f }),
		readEntries(d.objects.Ranges, func(key bpf.DatapathRangeKey, _ uint8) {
			l.ranges[key.Service] = append(l.ranges[key.Service], bpf.Prefix(key.Prefix-32, key.Address))
		}),
		readEntries(d.objects.Slots, func(number uint32, row bpf.DatapathRow) {
			if row != (bpf.DatapathRow{}) {
				l.rows[number] = row
			}
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("list frontends: %w", err)
	}
	var list []Listed
	for key, f := range frontends {
		if bpf.DatapathFrontendKind(f.Kind) != bpf.DatapathFrontendKindFRONTEND_GUARD {
			list = append(list, l.frontend(key, f))
		}
	}
	slices.SortFunc(list, func(a, b Listed) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Protocol, b.Protocol))
	})
	return list, nil
}

func (l listing) frontend(key bpf.DatapathServiceKey, f bpf.DatapathFrontend) Listed {
	flags := bpf.DatapathFrontendFlags(f.Flags)
	listed := Listed{
		Address:  bpf.AddrPort(key.Address, key.Port),
		Protocol: protocolName(key.Protocol),
		Service:  l.names[f.Service],
		Number:   f.Service,
		Kind:     kindName(bpf.DatapathFrontendKind(f.Kind)),
		Mode:     modeName(bpf.DatapathMode(f.Mode)),
		Local:    flags&bpf.DatapathFrontendFlagsFRONTEND_LOCAL_ONLY != 0,
		Random:   flags&bpf.DatapathFrontendFlagsFRONTEND_RANDOM != 0,
		Affinity: f.Affinity,
		Backends: l.set(f.Outside),
	}
	if f.Inside != f.Outside {
		listed.Inside = l.set(f.Inside)
	}
	if flags&bpf.DatapathFrontendFlagsFRONTEND_RANGES != 0 {
		listed.Ranges = slices.SortedFunc(slices.Values(l.ranges[f.Service]), netip.Prefix.Compare)
	}
	return listed
}

// set reads a set of backends.
func (l listing) set(s bpf.DatapathBackendSet) []ListedBackend {
	if list, ok := l.sets[s]; ok {
		return list
	}
	count := make(map[uint32]int) // of a list 1 each
	for i := range s.Size {
		count[bpf.BackendAt(s, i, func(row uint32) bpf.DatapathRow { return l.rows[row] })]++
	}
	var list []ListedBackend
	for id, n := range count {
		b := listBackend(id, l.backends[id])
		b.Share = float64(n) / float64(s.Size)
		list = append(list, b)
	}
	sortBackends(list)
	l.sets[s] = list
	return list
}

func listBackend(id uint32, b bpf.DatapathBackend) ListedBackend {
	flags := bpf.DatapathBackendFlags(b.Flags)
	listed := ListedBackend{
		ID: id, Serial: b.Serial, Address: bpf.AddrPort(b.Address, b.Port), Protocol: protocolName(b.Protocol), Node: b.Node.Addr(),
		Local: flags&bpf.DatapathBackendFlagsBACKEND_LOCAL != 0, Draining: flags&bpf.DatapathBackendFlagsBACKEND_DRAINING != 0,
		State: "active",
	}
	if listed.Draining {
		listed.State = "draining"
	}
	if b.Serial == 0 {
		listed.State = "gone"
	}
	return listed
}

func sortBackends(list []ListedBackend) {
	slices.SortFunc(list, func(a, b ListedBackend) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.ID, b.ID))
	})
}

// Backends reads all backends, those too that drain and are no frontend's, sorted by address, port and protocol. They have no
// slots and no share, which are of a frontend.
func (d *DataPath) Backends() ([]ListedBackend, error) {
	used, err := d.usedBackends()
	if err != nil {
		return nil, fmt.Errorf("list backends: %w", err)
	}
	var list []ListedBackend
	for id, b := range used {
		list = append(list, listBackend(id, b))
	}
	sortBackends(list)
	return list, nil
}

// usedBackends are all that are not free, by number.
func (d *DataPath) usedBackends() (map[uint32]bpf.DatapathBackend, error) {
	used := make(map[uint32]bpf.DatapathBackend)
	err := readEntries(d.objects.Backends, func(number uint32, b bpf.DatapathBackend) {
		if b.Serial != 0 {
			used[number] = b
		}
	})
	return used, err
}

// serviceNames are the names of all services' ports by number.
func (d *DataPath) serviceNames() (map[uint32]string, error) {
	names := make(map[uint32]string)
	err := readEntries(d.objects.ServiceNames, func(number uint32, name bpf.DatapathServiceName) {
		if number != 0 {
			names[number] = name.String()
		}
	})
	return names, err
}

func kindName(k bpf.DatapathFrontendKind) string {
	switch k {
	case bpf.DatapathFrontendKindFRONTEND_NODE_PORT:
		return string(services.KindNodePort)
	case bpf.DatapathFrontendKindFRONTEND_EXTERNAL_IP:
		return string(services.KindExternalIP)
	case bpf.DatapathFrontendKindFRONTEND_CLUSTER_IP:
		return string(services.KindClusterIP)
	}
	return string(services.KindLoadBalancer)
}

func modeName(m bpf.DatapathMode) string {
	if m == bpf.DatapathModeMODE_DSR {
		return string(services.ModeDSR)
	}
	return string(services.ModeSNAT)
}
