package topologies

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/dsrlab/dsrlab/internal/words"
)

// Limit is what a link does with frames over its rate.
type Limit string

const (
	LimitShape  Limit = "shape"  // a token bucket with a queue: they wait, and what the queue has no room for is dropped
	LimitPolice Limit = "police" // a token bucket without a queue: they are dropped at once
)

// Shape is one direction of a wire.
type Shape struct {
	// Rate on the wire, overhead included; zero means not limited.
	Rate Rate `json:"rate,omitempty"`
	// Limit is what happens to frames over the rate (default shape): they queue (shape), or they are dropped at once (police),
	// as the policers of cloud providers, hypervisors and switches do.
	Limit Limit `json:"limit,omitempty"`
	// Queue is how many bytes may wait for the wire before it drops (tail drop). Default: DefaultQueue, or what the rate
	// carries in 4 ms if that is more. A policed link has none.
	Queue Size `json:"queue,omitempty"`
	// Burst is the token bucket's depth in bytes. Default of a shaped link: two full frames with their overhead, or what the rate
	// carries in 500 µs if that is more. It bridges the time that the kernel's timer may be late: with two frames a link of
	// 1 Gbit/s carries about 720 Mbit/s. Default of a policed link: ten full frames with their overhead, or what the rate
	// carries in 5 ms if that is more.
	Burst Size `json:"burst,omitempty"`
	// Overhead is what each frame costs on the wire beyond its bytes from Ethernet header to payload
	// (default 24: preamble 8, FCS 4, gap 12; IEEE 802.3).
	Overhead *int `json:"overhead,omitempty"`
}

// Plan is all that a substrate has to make for a Topology. It is a value: the same topology gives the same plan.
type Plan struct {
	Name string `json:"name"`
	// Hash identifies the topology's content (SHA-256, hex).
	Hash              string                      `json:"hash"`
	Substrate         SubstrateKind               `json:"substrate"`
	CongestionControl string                      `json:"congestionControl"`
	MTU               int                         `json:"mtu"` // of networks that name no other; see MTUOf
	Networks          []Network                   `json:"networks"`
	Nodes             []Node                      `json:"nodes"`
	Pods              []Pod                       `json:"pods"`
	FabricRoutes      []Route                     `json:"fabricRoutes"` // pod CIDRs by their node, VIPs by all LB nodes
	Services          []corev1.Service            `json:"services"`
	EndpointSlices    []discoveryv1.EndpointSlice `json:"endpointSlices"` // by selector from the pods
}

// Network is a network of the fabric: a subnet, or one of each IP version.
type Network struct {
	Name     string         `json:"name"`
	Subnets  []netip.Prefix `json:"subnets"`  // one or two, the primary one first
	Gateways []netip.Addr   `json:"gateways"` // the fabric's own addresses, in the order of Subnets
	MAC      HardwareAddr   `json:"mac"`      // the fabric's, where the gateways answer
	MTU      int            `json:"mtu"`      // of its wires and of the pods on its nodes, in bytes
}

// Node is one namespace (or kind container) on the fabric.
type Node struct {
	Name      string            `json:"name"`
	Role      Role              `json:"role"`
	Network   string            `json:"network"`
	Addresses []netip.Prefix    `json:"addresses"` // one or two, the primary one first, each with the length of its subnet
	Gateways  []netip.Addr      `json:"gateways"`  // the fabric's addresses in the node's subnets, in the order of Addresses
	MAC       HardwareAddr      `json:"mac"`
	PodCIDRs  []netip.Prefix    `json:"podCIDRs,omitempty"` // of roles lb and worker, the primary one first; in an order of their own
	Labels    map[string]string `json:"labels,omitempty"`
	// Port is the name of the wire's end in the fabric, at most 13 characters; the node's end is always eth0.
	Port     string `json:"port"`
	ToNode   Shape  `json:"toNode"`   // fabric to node, all defaults filled in
	FromNode Shape  `json:"fromNode"` // node to fabric
	// Routes beyond the connected network: the default route and, on LB nodes and workers of a small topology (at most
	// MaxFullMesh nodes), the pod CIDRs of other nodes of the same network. All else the fabric routes.
	Routes []Route `json:"routes"`
	// Neighbours are static, so that the first packet finds its way: the gateway, and of the same network all nodes of a
	// small topology, else the LB nodes.
	Neighbours []Neighbour `json:"neighbours,omitempty"`
}

// Pod is a namespace behind its node.
type Pod struct {
	Name      string       `json:"name"`
	Node      string       `json:"node"`
	Addresses []netip.Addr `json:"addresses"` // one or two, the primary one first
	MAC       HardwareAddr `json:"mac"`       // of the pod's eth0
	HostMAC   HardwareAddr `json:"hostMAC"`   // of the node's end
	// HostDevice is the name of the node's end of the pod's veth, at most 15 characters.
	HostDevice string            `json:"hostDevice"`
	Labels     map[string]string `json:"labels,omitempty"`
	Workload   []WorkloadSpec    `json:"workload,omitempty"`
}

// Route leads to Destination by Via; several mean equal-cost multipath.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	Via         []netip.Addr `json:"via"`
}

// String is as `ip route` shows it.
func (r Route) String() string { return fmt.Sprintf("%v via %s", r.Destination, words.List(r.Via)) }

// Neighbour is a static ARP or NDP entry.
type Neighbour struct {
	Address netip.Addr   `json:"address"`
	MAC     HardwareAddr `json:"mac"`
}
