package tables

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
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
	// Precedence orders services, given as namespace/name: where a map is too small for all of them, those that come first
	// get the room. Tables don't say which service is older, so the default is by name.
	Precedence func(a, b string) int
}

// Node is a node of the cluster.
type Node struct {
	Name string
	// Addresses are all that the node sends from, of both families.
	Addresses []NodeAddress
	// PodCIDRs are where the addresses of its pods are from.
	PodCIDRs []netip.Prefix
}

// NodeAddress is an address of a node, and how it is reached.
type NodeAddress struct {
	Address netip.Addr
	// NextHop is the MAC address that leads there by this node's device; without it each packet asks the kernel's tables.
	NextHop net.HardwareAddr
}

// Pod is a pod of this node, and how it is reached.
type Pod struct {
	// Addresses are one or two: one of each family.
	Addresses []netip.Addr
	// Device is the index of the node's end of the pod's veth.
	Device int
	// MAC is the pod's own, NodeMAC that of the node's end.
	MAC, NodeMAC net.HardwareAddr
}

// nodeView is what a node knows of the cluster: what is local to it, and how it reaches the rest.
type nodeView struct {
	node    string
	nodes   map[bpf.DatapathAddress]bpf.DatapathNode
	pods    map[bpf.DatapathAddress]bpf.DatapathPod
	cluster map[bpf.DatapathClusterKey]uint8
	objects map[any]string // what each key above is of, as in services.Problem
}

// newNodeView takes all of a State but its tables. What can't be used of a node or pod is left out, and reported.
func newNodeView(s State) (*nodeView, []services.Problem) {
	v := &nodeView{
		node:    s.Node,
		nodes:   make(map[bpf.DatapathAddress]bpf.DatapathNode),
		pods:    make(map[bpf.DatapathAddress]bpf.DatapathPod),
		cluster: make(map[bpf.DatapathClusterKey]uint8),
		objects: make(map[any]string),
	}
	var problems []services.Problem
	for _, n := range s.Nodes {
		problems = append(problems, v.addNode(n)...)
	}
	for _, pod := range s.Pods {
		problems = append(problems, v.addPod(pod)...)
	}
	return v, problems
}

func (v *nodeView) addNode(n Node) []services.Problem {
	var problems []services.Problem
	object := "node " + n.Name
	for _, a := range n.Addresses {
		if !a.Address.IsValid() {
			problems = append(problems, services.Problem{
				Object: object, Field: "addresses", What: fmt.Sprintf("found %v", a.Address), Want: "must be an IPv4 or IPv6 address",
			})
			continue
		}
		address := a.Address.Unmap()
		key := bpf.WireAddress(address)
		v.nodes[key] = bpf.DatapathNode{NextHop: bpf.WireMAC(a.NextHop)}
		v.objects[key] = object
		v.addToCluster(netip.PrefixFrom(address, address.BitLen()), object)
	}
	for _, cidr := range n.PodCIDRs {
		if !cidr.IsValid() {
			problems = append(problems, services.Problem{
				Object: object, Field: "podCIDRs", What: fmt.Sprintf("found %v", cidr), Want: "must be a prefix like 10.0.1.0/24",
			})
			continue
		}
		v.addToCluster(cidr, object)
	}
	return problems
}

func (v *nodeView) addToCluster(prefix netip.Prefix, object string) {
	bits, address := bpf.WirePrefix(prefix)
	key := bpf.DatapathClusterKey{Prefix: bits, Address: address}
	v.cluster[key], v.objects[key] = 1, object
}

// hasNode reports whether an address is a node's own: a backend there is a process of the node, no pod.
func (v *nodeView) hasNode(a netip.Addr) bool {
	_, ok := v.nodes[bpf.WireAddress(a)]
	return ok
}

func (v *nodeView) addPod(pod Pod) []services.Problem {
	object := fmt.Sprint("pod ", pod.Addresses)
	if len(pod.MAC) != 6 || len(pod.NodeMAC) != 6 {
		return []services.Problem{{
			Object: object, Field: "veth", What: fmt.Sprintf("found MAC addresses %q and %q", pod.MAC, pod.NodeMAC), Want: "must have one at both ends",
		}}
	}
	var problems []services.Problem
	for _, a := range pod.Addresses {
		if !a.IsValid() {
			problems = append(problems, services.Problem{
				Object: object, Field: "addresses", What: fmt.Sprintf("found %v", a), Want: "must be an IPv4 or IPv6 address",
			})
			continue
		}
		key := bpf.WireAddress(a)
		v.pods[key] = bpf.DatapathPod{Ifindex: uint32(pod.Device), Mac: bpf.WireMAC(pod.MAC), NodeMac: bpf.WireMAC(pod.NodeMAC)}
		v.objects[key] = object
	}
	return problems
}
