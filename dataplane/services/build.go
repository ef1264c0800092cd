// Package services turns Kubernetes objects (Services, EndpointSlices, nodes) into what the data path of a node needs:
// frontends, backends, and Maglev tables. It is pure: the same objects give the same tables on every node.
package services

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// State is all that the tables follow from.
type State struct {
	Services       []corev1.Service
	EndpointSlices []discoveryv1.EndpointSlice
	Nodes          []Node
}

// Node is an LB node or a pod node; clients are none.
type Node struct {
	Name string
	// Address is where the node's NodePorts are and where tunnels to it end.
	Address netip.Addr
	// PodCIDR tells the node of an endpoint whose slice does not name it; may be zero.
	PodCIDR netip.Prefix
}

// Options are what no object says. The zero value is usable.
type Options struct {
	// Mode of services without ModeAnnotation (default snat).
	Mode Mode
	// TableSize is the number of slots of a Maglev table (default DefaultTableSize).
	TableSize uint32
}

// Build makes the tables. It never fails: what it cannot use it leaves out and names among the problems. Neither its
// arguments nor the objects in them are changed.
//
// Of two services that claim the same address, port and protocol the older one gets it.
func Build(state State, options Options) (*Tables, []Problem) {
	b := &builder{
		nodes:     map[string]Node{},
		services:  map[objectKey]bool{},
		backends:  map[backendKey]*backend{},
		frontends: map[frontendKey]string{},
	}
	b.setOptions(options)
	b.addNodes(state.Nodes)
	b.groupSlices(state.EndpointSlices)
	ordered := make([]*corev1.Service, len(state.Services))
	for i := range state.Services {
		ordered[i] = &state.Services[i]
	}
	slices.SortStableFunc(ordered, olderFirst)
	for _, service := range ordered {
		b.addService(service)
	}
	return b.tables(), b.problems
}

// olderFirst orders by creation time, then by namespace and name.
func olderFirst(a, b *corev1.Service) int {
	return cmp.Or(
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name))
}

// builder is the state of one Build.
type builder struct {
	options  Options
	problems []Problem

	nodes      map[string]Node
	nodeOrder  []Node                                     // by name
	byService  map[objectKey][]*discoveryv1.EndpointSlice // each by name
	services   map[objectKey]bool                         // those seen so far
	backends   map[backendKey]*backend                    // of all endpoints; in the tables are those that a frontend has
	frontends  map[frontendKey]string                     // to the service that has it
	selections []selection
}

type objectKey struct{ namespace, name string }

type frontendKey struct {
	address  netip.AddrPort
	protocol Protocol
}

// backendKey identifies a backend while the tables are not ordered yet.
type backendKey struct {
	address  netip.AddrPort
	protocol Protocol
}

type backend struct {
	node     Node
	weight   uint32
	slice    string // that it was first seen in
	known    bool   // to a frontend
	selected bool   // by a frontend
}

// selection is a frontend and its backends.
type selection struct {
	frontend Frontend
	backends []backendKey
}

// problem notes what was wrong with a field of an object.
func (b *builder) problem(object, field, want, format string, args ...any) {
	b.problems = append(b.problems, Problem{Object: object, Field: field, What: fmt.Sprintf(format, args...), Want: want})
}

func (b *builder) setOptions(options Options) {
	b.options = Options{Mode: ModeSNAT, TableSize: DefaultTableSize}
	if options.Mode != "" {
		if mode, err := ParseMode(string(options.Mode)); err != nil {
			b.problem("options", "mode", "use snat, dsr or hybrid", "%q is no forwarding mode", options.Mode)
		} else {
			b.options.Mode = mode
		}
	}
	if options.TableSize != 0 {
		if err := checkTableSize(options.TableSize); err != nil {
			b.problem("options", "tableSize", "use for instance 251, 1021, 16381 or 65537",
				"%d is no prime from 3 to %d", options.TableSize, MaxTableSize)
		} else {
			b.options.TableSize = options.TableSize
		}
	}
}

func (b *builder) addNodes(nodes []Node) {
	for _, node := range nodes {
		object := "node " + node.Name
		if !usable(node.Address) {
			b.problem(object, "address", "use a unicast address", "%s is not the address of a node", node.Address)
			continue
		}
		if _, twice := b.nodes[node.Name]; twice {
			b.problem(object, "name", "give each node a name of its own", "there are two nodes of this name")
			continue
		}
		node.Address = node.Address.Unmap()
		b.nodes[node.Name] = node
		b.nodeOrder = append(b.nodeOrder, node)
	}
	slices.SortFunc(b.nodeOrder, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
}

// tables orders all that was found and numbers the backends.
func (b *builder) tables() *Tables {
	keys := make([]backendKey, 0, len(b.backends))
	for key, found := range b.backends {
		if found.known {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(x, y backendKey) int {
		return cmp.Or(x.address.Compare(y.address), cmp.Compare(x.protocol, y.protocol))
	})
	numbers := make(map[backendKey]int, len(keys))
	t := &Tables{Frontends: []Frontend{}, Backends: make([]Backend, len(keys)), TableSize: b.options.TableSize}
	for i, key := range keys {
		numbers[key] = i
		found := b.backends[key]
		t.Backends[i] = Backend{
			Address: key.address.Addr(), Port: key.address.Port(), Protocol: key.protocol,
			Node: found.node.Name, NodeAddress: found.node.Address,
			Weight: found.weight, Draining: !found.selected,
		}
	}
	for _, s := range b.selections {
		s.frontend.Backends = make([]int, len(s.backends))
		for i, key := range s.backends {
			s.frontend.Backends[i] = numbers[key]
		}
		slices.Sort(s.frontend.Backends)
		t.Frontends = append(t.Frontends, s.frontend)
	}
	slices.SortFunc(t.Frontends, func(x, y Frontend) int {
		return cmp.Or(x.AddrPort().Compare(y.AddrPort()), cmp.Compare(x.Protocol, y.Protocol))
	})
	return t
}

// usable says whether packets can be sent to a over a network.
func usable(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}
