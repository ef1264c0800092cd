package dataplane

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/cespare/xxhash/v2"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// State is what a node's data path is to know.
type State struct {
	// Node is the name of this node.
	Node string
	// Nodes are all nodes of the cluster, this one too: who may send Geneve.
	Nodes []Node
	// Pods are those of this node.
	Pods []Pod
	// Tables are the frontends and backends, the same on all nodes.
	Tables *services.Tables
}

// Node is a node of the cluster, and how it is reached.
type Node struct {
	Address netip.Addr
	// NextHop is the MAC address that leads there by this node's device; without it each packet asks the kernel's tables.
	NextHop net.HardwareAddr
}

// Pod is a pod of this node, and how it is reached.
type Pod struct {
	Address netip.Addr
	// Device is the index of the node's end of the pod's veth.
	Device int
	// MAC is the pod's own, NodeMAC that of the node's end.
	MAC, NodeMAC net.HardwareAddr
}

// image is a State as the maps hold it.
type image struct {
	pods          map[uint32]datapathPod4
	nodes         map[uint32]datapathNode4
	backends      map[uint32]datapathBackend4
	localBackends map[datapathService4Key]uint8
	frontends     map[datapathService4Key]frontendEntry
	tables        map[digest]table
}

// digest identifies what a Maglev table holds; 0 is no table.
type digest uint64

// frontendEntry is a frontend whose table is named by content; the index it has in the kernel is found on update.
type frontendEntry struct {
	datapathFrontend // Table is not set
	table            digest
}

// table is what a Maglev table is built from: backends by index, and the ids of all backends.
type table struct {
	tables   *services.Tables
	backends []int
	ids      []uint32
}

func newImage() *image {
	return &image{
		pods:          make(map[uint32]datapathPod4),
		nodes:         make(map[uint32]datapathNode4),
		backends:      make(map[uint32]datapathBackend4),
		localBackends: make(map[datapathService4Key]uint8),
		frontends:     make(map[datapathService4Key]frontendEntry),
		tables:        make(map[digest]table),
	}
}

// compile translates a State. It is pure: ids come from what they name, so that all nodes and all restarts agree on them.
func compile(s State) (*image, error) {
	m := newImage()
	for _, n := range s.Nodes {
		if !n.Address.Is4() {
			continue
		}
		var value datapathNode4
		copy(value.NextHop[:], n.NextHop)
		m.nodes[addr4(n.Address)] = value
	}
	for _, p := range s.Pods {
		if len(p.MAC) != 6 || len(p.NodeMAC) != 6 {
			return nil, fmt.Errorf("pod %v: needs a MAC address at both ends of its veth", p.Address)
		}
		if p.Address.Is4() {
			m.pods[addr4(p.Address)] = datapathPod4{
				Ifindex: uint32(p.Device), Mac: [6]uint8(p.MAC), NodeMac: [6]uint8(p.NodeMAC),
			}
		}
	}
	ids := make([]uint32, len(s.Tables.Backends))
	for i, b := range s.Tables.Backends {
		if b.Address.Is4() {
			ids[i] = m.addBackend(&b, b.Node == s.Node)
		}
	}
	for _, f := range s.Tables.Frontends {
		if f.Address.Is4() && f.Kind != services.KindClusterIP { // which nobody outside may talk to
			m.addFrontend(&f, s, ids)
		}
	}
	return m, nil
}

// addBackend files the backend under an id derived from its address, port and protocol, so that the same backend has the
// same id everywhere and always. Of two whose ids collide the later takes the next free one.
func (m *image) addBackend(b *services.Backend, local bool) uint32 {
	value := datapathBackend4{
		Addr: addr4(b.Address), Port: port16(b.Port), Protocol: uint8(b.Protocol), Node: addr4(b.NodeAddress),
	}
	if local {
		value.Flags = uint8(datapathBackendFlagsBACKEND_LOCAL)
		m.localBackends[datapathService4Key{Addr: value.Addr, Port: value.Port, Protocol: value.Protocol}] = 1
	}
	id := uint32(xxhash.Sum64String(b.Name()))
	for {
		other, taken := m.backends[id]
		if id != 0 && (!taken || other == value) {
			break
		}
		id++
	}
	m.backends[id] = value
	return id
}

func (m *image) addFrontend(f *services.Frontend, s State, ids []uint32) {
	t := table{tables: s.Tables, backends: s.Tables.Selectable(f, s.Node), ids: ids}
	entry := frontendEntry{datapathFrontend: datapathFrontend{
		Backends: uint32(len(t.backends)),
		Slots:    s.Tables.TableSize,
		Service:  uint32(xxhash.Sum64String(f.Service + ":" + f.PortName)),
		Mode:     uint8(modeNumber(f.Mode)),
		Kind:     uint8(kindNumber(f.Kind)),
	}}
	if f.LocalOnly {
		entry.Flags = uint8(datapathFrontendFlagsFRONTEND_LOCAL_ONLY)
	}
	if len(t.backends) > 0 {
		entry.table = t.digest()
		m.tables[entry.table] = t
	}
	m.frontends[datapathService4Key{Addr: addr4(f.Address), Port: port16(f.Port), Protocol: uint8(f.Protocol)}] = entry
	if f.Kind == services.KindLoadBalancer || f.Kind == services.KindExternalIP {
		m.frontends[datapathService4Key{Addr: addr4(f.Address)}] = frontendEntry{
			datapathFrontend: datapathFrontend{Kind: uint8(datapathFrontendKindFRONTEND_GUARD)},
		}
	}
}

func (t table) digest() digest {
	h := xxhash.New()
	word := func(v uint32) { _, _ = h.Write(binary.LittleEndian.AppendUint32(nil, v)) } // a hash never fails
	word(t.tables.TableSize)
	for _, i := range t.backends {
		word(t.ids[i])
		word(t.tables.Backends[i].Weight)
	}
	return digest(h.Sum64() | 1) // never 0
}

// slots builds the Maglev table: the backend's id for each slot.
func (t table) slots() []uint32 {
	slots := t.tables.Slots(t.backends)
	for i, backend := range slots {
		slots[i] = t.ids[backend]
	}
	return slots
}

func modeNumber(m services.Mode) datapathMode {
	if m == services.ModeDSR {
		return datapathModeMODE_DSR
	}
	return datapathModeMODE_SNAT
}

func kindNumber(k services.Kind) datapathFrontendKind {
	switch k {
	case services.KindNodePort:
		return datapathFrontendKindFRONTEND_NODE_PORT
	case services.KindExternalIP:
		return datapathFrontendKindFRONTEND_EXTERNAL_IP
	case services.KindClusterIP:
		return datapathFrontendKindFRONTEND_CLUSTER_IP
	}
	return datapathFrontendKindFRONTEND_LOAD_BALANCER
}
