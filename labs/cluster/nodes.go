package cluster

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/objects"
)

// Machine is a node of the cluster.
type Node struct {
	// Node is the topology's node that it plays; empty if it plays none.
	TopologyNode string `json:"node,omitempty"`
	// Name is the cluster's for it, and Hostname what pods choose it by.
	Name     string `json:"name"`
	Hostname string `json:"hostname"`
	// Addresses are its InternalIPs.
	Addresses []netip.Addr   `json:"addresses"`
	PodCIDRs  []netip.Prefix `json:"podCIDRs,omitempty"`
	Kubelet   string         `json:"kubelet"`
}

// cast lets nodes of the cluster play those of the topology, in its order: workers first, then control planes that take pods, each
// by their names. It returns all nodes of the cluster. It is pure. Too few nodes are a labs.LackingError.
func mapNodes(plan *topologies.Plan, nodes []corev1.Node) ([]Node, error) {
	var usable []*corev1.Node
	for i := range nodes {
		if isUsable(&nodes[i]) {
			usable = append(usable, &nodes[i])
		}
	}
	slices.SortFunc(usable, func(a, b *corev1.Node) int {
		return cmp.Or(isControlPlane(a)-isControlPlane(b), cmp.Compare(a.Name, b.Name))
	})
	roles := plan.ClusterNodes()
	if len(usable) < len(roles) {
		return nil, &labs.UnsupportedError{
			What: fmt.Sprintf("the cluster has %d of the %d nodes that topology %s needs", len(usable), len(roles), plan.Name),
			How:  "nodes must be ready, schedulable, without taints, and run Linux",
		}
	}
	plays := make(map[string]string)
	for i, role := range roles {
		plays[usable[i].Name] = role.Name
	}
	var all []Node
	for i := range nodes {
		m, err := nodeOf(&nodes[i])
		if err != nil {
			return nil, err
		}
		m.TopologyNode = plays[m.Name]
		all = append(all, m)
	}
	return all, nil
}

// isUsable reports whether a node takes any pod.
func isUsable(n *corev1.Node) bool {
	if n.Spec.Unschedulable || !objects.NodeIsReady(n) || cmp.Or(n.Labels[corev1.LabelOSStable], "linux") != "linux" {
		return false
	}
	return !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule })
}

// isControlPlane is 1 for a control plane's node.
func isControlPlane(n *corev1.Node) int {
	for _, label := range []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"} {
		if _, ok := n.Labels[label]; ok {
			return 1
		}
	}
	return 0
}

func nodeOf(n *corev1.Node) (Node, error) {
	m := Node{Name: n.Name, Hostname: n.Labels[corev1.LabelHostname], Kubelet: n.Status.NodeInfo.KubeletVersion}
	for _, a := range n.Status.Addresses {
		if a.Type != corev1.NodeInternalIP {
			continue
		}
		address, err := netip.ParseAddr(a.Address)
		if err != nil {
			return m, fmt.Errorf("node %s: InternalIP: %w", n.Name, err)
		}
		m.Addresses = append(m.Addresses, address)
	}
	for _, cidr := range n.Spec.PodCIDRs {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return m, fmt.Errorf("node %s: podCIDR: %w", n.Name, err)
		}
		m.PodCIDRs = append(m.PodCIDRs, prefix)
	}
	return m, nil
}

// address is the machine's first one of an IP version.
func (m *Node) address(v6 bool) (netip.Addr, error) {
	for _, a := range m.Addresses {
		if a.Is6() == v6 {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("node %s has no InternalIP of the services' IP version", m.Name)
}
