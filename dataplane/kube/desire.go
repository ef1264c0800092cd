package kube

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Peer is a node as the others see it.
type Peer struct {
	Name string `json:"name"`
	// Addresses are its InternalIPs, one of each family at most.
	Addresses []netip.Addr `json:"addresses"`
	// Others are its ExternalIPs and further InternalIPs. Nothing is served there.
	Others   []netip.Addr   `json:"others,omitempty"`
	PodCIDRs []netip.Prefix `json:"podCIDRs,omitempty"`
	// Excluded: it is labelled node.kubernetes.io/exclude-from-external-load-balancers, as kubeadm's control-plane nodes are.
	Excluded bool `json:"excluded,omitempty"`
	// Zone is its label topology.kubernetes.io/zone.
	Zone string `json:"zone,omitempty"`
}

// Route leads to another node's pods.
type Route struct {
	To  netip.Prefix `json:"to"`
	Via netip.Addr   `json:"via"`
}

// Network is what a node's pod network has to be.
type Network struct {
	// CNI is the configuration list for the container runtime; empty: the node has no pod CIDR yet.
	CNI string `json:"cni,omitempty"`
	// Routes lead to the other nodes' pods.
	Routes []Route `json:"routes,omitempty"`
	// Unreachable are where no packet may leave for by the default route.
	Unreachable []netip.Prefix `json:"unreachable,omitempty"`
	// Masquerade are the node's own pods; what they send to elsewhere than Inside gets the node's address.
	Masquerade []netip.Prefix `json:"masquerade,omitempty"`
	Inside     []netip.Prefix `json:"inside,omitempty"`
}

// PeersOf reads nodes, and says what it could not use. They are ordered by name.
func PeersOf(nodes []*corev1.Node) ([]Peer, []services.Problem) {
	var peers []Peer
	var problems []services.Problem
	takenBy := map[netip.Addr]string{}
	for _, n := range slices.SortedFunc(slices.Values(nodes), newerFirst) {
		peer := Peer{Name: n.Name, Zone: n.Labels[corev1.LabelTopologyZone]}
		_, peer.Excluded = n.Labels[corev1.LabelNodeExcludeBalancers]
		problem := func(field, what, want string) {
			problems = append(problems, services.Problem{Object: "node " + n.Name, Field: field, What: what, Want: want})
		}
		peer.addAddresses(n.Status.Addresses, takenBy, problem)
		if len(peer.Addresses) == 0 {
			problem("status.addresses", "there is no usable InternalIP", "let kubelet or the cloud's controller set one")
			continue
		}
		for i, text := range podCIDRsOf(n) {
			cidr, err := netip.ParsePrefix(text)
			if err != nil {
				problem(fmt.Sprintf("spec.podCIDRs[%d]", i), fmt.Sprintf("%q is no prefix", text), "use one like 10.244.1.0/24")
				continue
			}
			peer.PodCIDRs = append(peer.PodCIDRs, cidr.Masked())
		}
		peers = append(peers, peer)
	}
	slices.SortFunc(peers, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	return peers, problems
}

// newerFirst orders nodes so that of two with one address the one that has it now comes first: a cloud may give the address of a node that
// is gone to another before the Node is deleted.
func newerFirst(a, b *corev1.Node) int {
	return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
}

// addAddresses takes the first InternalIP of each family for the node's own, which nodes talk to each other by.
func (p *Peer) addAddresses(all []corev1.NodeAddress, takenBy map[netip.Addr]string, problem func(field, what, want string)) {
	for i, a := range all {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		field := fmt.Sprintf("status.addresses[%d]", i)
		address, err := netip.ParseAddr(a.Address)
		if err != nil || !address.IsGlobalUnicast() || address.Zone() != "" {
			problem(field, fmt.Sprintf("%q is not the address of a node", a.Address), "use a unicast address")
			continue
		}
		address = address.Unmap()
		if slices.Contains(p.Addresses, address) || slices.Contains(p.Others, address) {
			continue
		}
		if other, taken := takenBy[address]; taken {
			problem(field, fmt.Sprintf("%s is an address of node %s, too", address, other), "give each node addresses of its own")
			continue
		}
		takenBy[address] = p.Name
		if a.Type == corev1.NodeExternalIP {
			p.Others = append(p.Others, address)
			continue
		}
		first := slices.IndexFunc(p.Addresses, func(have netip.Addr) bool { return have.Is4() == address.Is4() })
		if first < 0 {
			p.Addresses = append(p.Addresses, address)
			continue
		}
		p.Others = append(p.Others, address)
		problem(field, fmt.Sprintf("%s is a further InternalIP beside %s: it has no NodePorts, and its processes can't be backends there", address,
			p.Addresses[first]), "use the first InternalIP of a family")
	}
}

func podCIDRsOf(n *corev1.Node) []string {
	if len(n.Spec.PodCIDRs) == 0 && n.Spec.PodCIDR != "" {
		return []string{n.Spec.PodCIDR}
	}
	return n.Spec.PodCIDRs
}

// serviceNodes are peers as package services wants them.
func serviceNodes(peers []Peer) []services.Node {
	nodes := make([]services.Node, 0, len(peers))
	for _, p := range peers {
		nodes = append(nodes, services.Node{Name: p.Name, Addresses: p.Addresses, Others: p.Others, PodCIDRs: p.PodCIDRs, Zone: p.Zone})
	}
	return nodes
}

// NetworkOf is the pod network of one node. It is pure.
func NetworkOf(node string, peers []Peer, config Config) Network {
	var n Network
	if !config.PodNetwork.Enabled {
		return n
	}
	n.Unreachable = slices.Concat(config.PodNetwork.CIDRs, config.ServiceCIDRs)
	n.Inside = slices.Clone(n.Unreachable)
	for _, p := range peers {
		for _, a := range p.Addresses {
			n.Inside = append(n.Inside, netip.PrefixFrom(a, a.BitLen()))
		}
		if p.Name == node {
			n.CNI = cniConfig(p.PodCIDRs)
			n.Masquerade = p.PodCIDRs
			continue
		}
		for _, cidr := range p.PodCIDRs {
			if via := slices.IndexFunc(p.Addresses, func(a netip.Addr) bool { return a.Is4() == cidr.Addr().Is4() }); via >= 0 {
				n.Routes = append(n.Routes, Route{To: cidr, Via: p.Addresses[via]})
			}
		}
	}
	return n
}

// cniConfig uses plugins of containernetworking/plugins that nodes of kind carry: ptp, host-local, portmap.
func cniConfig(podCIDRs []netip.Prefix) string {
	if len(podCIDRs) == 0 {
		return ""
	}
	type object = map[string]any
	var ranges, routes []any
	for _, cidr := range podCIDRs {
		everything := "0.0.0.0/0"
		if cidr.Addr().Is6() {
			everything = "::/0"
		}
		ranges = append(ranges, []object{{"subnet": cidr.String()}})
		routes = append(routes, object{"dst": everything})
	}
	document, _ := json.MarshalIndent(object{ // of strings only: it can't fail
		"cniVersion": "0.3.1", "name": "dsrlab",
		"plugins": []object{
			{"type": "ptp", "ipMasq": false, "ipam": object{
				"type": "host-local", "dataDir": "/run/cni-ipam-state", "ranges": ranges, "routes": routes}},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
	return string(document) + "\n"
}
