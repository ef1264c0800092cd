package topologies

import (
	"fmt"
	"net/netip"
	"strconv"
)

const (
	// MaxNodes and MaxPods bound what replicas may come to.
	MaxNodes = 4096
	MaxPods  = 16384
	// MaxNetworks and MaxServices bound what a file may list.
	MaxNetworks = 256
	MaxServices = 4096
)

// expandedNode is one node of a NodeSpec, all of it that the spec leaves open filled in.
type expandedNode struct {
	spec      int // index
	name      string
	addresses []netip.Addr   // as the spec has them; not valid if the addresses end
	podCIDRs  []netip.Prefix // as the spec has them, none outside the cluster; not valid if the addresses end
}

// expandedPod is one pod of a PodSpec.
type expandedPod struct {
	spec    int // index
	name    string
	node    int // index of its expandedNode
	replica int // on that node
	// addresses are one for each of the node's pod CIDRs; not valid if that is full.
	addresses []netip.Addr
}

// expansion is a topology with its replicas written out.
type expansion struct {
	nodes []expandedNode
	pods  []expandedPod
	// byName are the indexes of the nodes that a pod's node may name: of one replica, or of all.
	byName map[string][]int
	// tooMany says that there are more than MaxNodes or MaxPods; the rest is missing here.
	tooManyNodes, tooManyPods bool
}

// expand writes out the replicas of a topology with its defaults filled in. It takes any topology, right or wrong.
func expand(t *Topology) *expansion {
	x := &expansion{byName: map[string][]int{}}
	for i := range t.Spec.Nodes {
		x.addNodes(i, &t.Spec.Nodes[i])
	}
	for i := range t.Spec.Pods {
		x.addPods(i, &t.Spec.Pods[i])
	}
	x.addressPods(t)
	return x
}

func (x *expansion) addNodes(spec int, n *NodeSpec) {
	for i := range max(n.Replicas, 1) {
		if len(x.nodes) == MaxNodes {
			x.tooManyNodes = true
			return
		}
		index := len(x.nodes)
		node := expandedNode{spec: spec, name: replicaName(n.Name, i, n.Replicas)}
		for _, a := range n.Addresses {
			node.addresses = append(node.addresses, addAddr(a, uint64(i)))
		}
		for _, p := range n.PodCIDRs {
			if p.IsValid() {
				p = addPrefix(p, uint64(i))
			}
			node.podCIDRs = append(node.podCIDRs, p)
		}
		x.nodes = append(x.nodes, node)
		x.byName[node.name] = append(x.byName[node.name], index)
		if n.Name != node.name {
			x.byName[n.Name] = append(x.byName[n.Name], index)
		}
	}
}

func (x *expansion) addPods(spec int, p *PodSpec) {
	nodes := x.byName[p.Node]
	replicas := max(p.Replicas, 1)
	total, first := len(nodes)*replicas, len(x.pods)
	for _, node := range nodes {
		for i := range replicas {
			if len(x.pods) == MaxPods {
				x.tooManyPods = true
				return
			}
			pod := expandedPod{spec: spec, node: node, replica: i, name: replicaName(p.Name, len(x.pods)-first, total)}
			for _, cidr := range x.nodes[node].podCIDRs {
				pod.addresses = append(pod.addresses, addAddr(like(p.Addresses, cidr.Addr()), uint64(i)))
			}
			x.pods = append(x.pods, pod)
		}
	}
}

// addressPods gives every pod that lacks addresses the next free ones of its node.
func (x *expansion) addressPods(t *Topology) {
	taken := map[netip.Addr]bool{}
	for _, p := range x.pods {
		for _, a := range p.addresses {
			taken[a] = true
		}
	}
	next := make([][]netip.Addr, len(x.nodes))
	for i, n := range x.nodes {
		for _, cidr := range n.podCIDRs {
			last := netip.Addr{}
			if cidr.IsValid() {
				last = firstHost(cidr)
			}
			next[i] = append(next[i], last)
		}
	}
	for i := range x.pods {
		p := &x.pods[i]
		for k, cidr := range x.nodes[p.node].podCIDRs {
			if like(t.Spec.Pods[p.spec].Addresses, cidr.Addr()).IsValid() || !cidr.IsValid() {
				continue
			}
			a := next[p.node][k].Next()
			for taken[a] {
				a = a.Next()
			}
			if isHost(cidr, a) {
				next[p.node][k], p.addresses[k] = a, a
			}
		}
	}
}

// replicaName is NAME, or NAME-1 … NAME-n of several.
func replicaName(name string, index, of int) string {
	if of <= 1 {
		return name
	}
	return name + "-" + strconv.Itoa(index+1)
}

// deviceName is the name of a network device: prefix and name if that fits, else prefix and index. Names begin with a
// letter, so the two don't meet.
func deviceName(prefix, name string, index, limit int) string {
	if len(prefix)+len(name) <= limit {
		return prefix + name
	}
	return fmt.Sprintf("%s%d", prefix, index)
}
