package dataplane

import (
	"errors"
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
}

// newNodeView takes all of a State but its tables.
func newNodeView(s State) (*nodeView, error) {
	v := &nodeView{
		node:    s.Node,
		nodes:   make(map[bpf.DatapathAddress]bpf.DatapathNode),
		pods:    make(map[bpf.DatapathAddress]bpf.DatapathPod),
		cluster: make(map[bpf.DatapathClusterKey]uint8),
	}
	var errs []error
	for _, n := range s.Nodes {
		errs = append(errs, v.addNode(n))
	}
	for _, pod := range s.Pods {
		errs = append(errs, v.addPod(pod))
	}
	return v, errors.Join(errs...)
}

func (v *nodeView) addNode(n Node) error {
	var errs []error
	for _, a := range n.Addresses {
		if !a.Address.IsValid() {
			errs = append(errs, fmt.Errorf("node %s: address %v: must be an IPv4 or IPv6 address", n.Name, a.Address))
			continue
		}
		address := a.Address.Unmap()
		v.nodes[wireAddress(address)] = bpf.DatapathNode{NextHop: wireMAC(a.NextHop)}
		v.addToCluster(netip.PrefixFrom(address, address.BitLen()))
	}
	for _, cidr := range n.PodCIDRs {
		if !cidr.IsValid() {
			errs = append(errs, fmt.Errorf("node %s: pods at %v: must be a prefix like 10.0.1.0/24", n.Name, cidr))
			continue
		}
		v.addToCluster(cidr)
	}
	return errors.Join(errs...)
}

func (v *nodeView) addToCluster(prefix netip.Prefix) {
	bits, address := wirePrefix(prefix)
	v.cluster[bpf.DatapathClusterKey{Prefix: bits, Address: address}] = 1
}

// hasNode reports whether an address is a node's own: a backend there is a process of the node, no pod.
func (v *nodeView) hasNode(a netip.Addr) bool {
	_, ok := v.nodes[wireAddress(a)]
	return ok
}

func (v *nodeView) addPod(pod Pod) error {
	if len(pod.MAC) != 6 || len(pod.NodeMAC) != 6 {
		return fmt.Errorf("pod %v: needs a MAC address at both ends of its veth", pod.Addresses)
	}
	for _, a := range pod.Addresses {
		if !a.IsValid() {
			return fmt.Errorf("pod %v: address %v: must be an IPv4 or IPv6 address", pod.Addresses, a)
		}
		v.pods[wireAddress(a)] = bpf.DatapathPod{
			Ifindex: uint32(pod.Device), Mac: wireMAC(pod.MAC), NodeMac: wireMAC(pod.NodeMAC),
		}
	}
	return nil
}
