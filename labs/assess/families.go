package assess

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// lacking names the client and the nodes that have no address of a family.
func (j *judge) lacking(f family) []string {
	var all []string
	if !slices.ContainsFunc(j.o.Client.Addresses, func(a netip.Addr) bool { return usable(a) && familyOf(a) == f }) {
		all = append(all, "the client")
	}
	for _, name := range j.names {
		if !j.nodes[name].addressIn(f).IsValid() {
			all = append(all, name)
		}
	}
	return all
}

// addressIn is the node's address of a family; not valid if it has none.
func (n Node) addressIn(f family) netip.Addr {
	for _, p := range n.Addresses {
		if usable(p.Addr()) && familyOf(p.Addr()) == f {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// unjudged names the services that are called in a family that was not tried, and who lacks it.
func (j *judge) unjudged() {
	for _, f := range []family{ipv4, ipv6} {
		if len(j.families) == 0 || slices.Contains(j.families, f) {
			continue
		}
		lacking := someOf(j.lacking(f))
		var told []string
		for _, frontend := range j.frontendsIn(f) {
			if !slices.Contains(told, frontend.Service) {
				told = append(told, frontend.Service)
				j.miss(Unknown{Frontend: &frontend, What: fmt.Sprintf("calls to %v: not tried, as these have no %v address: %s", frontend.Address, f, lacking)})
			}
		}
	}
}

// frontendsIn are frontends of services in a family, one of each service: a VIP, or a node's address where it has none; and those that
// were called.
func (j *judge) frontendsIn(f family) []Frontend {
	var all []Frontend
	for _, s := range sortedServices(j.o.Services) {
		if !answersAcrossNodes(s) || len(s.Service.Spec.Ports) == 0 {
			continue
		}
		port, vips := s.Service.Spec.Ports[0], vipsOf(s.Service, j.own)
		if i := slices.IndexFunc(vips, func(a netip.Addr) bool { return familyOf(a) == f }); i >= 0 {
			all = append(all, Frontend{Service: nameOf(s.Service), Kind: VIP, Address: netip.AddrPortFrom(vips[i], uint16(port.Port))})
		}
		if len(vips) > 0 || !slices.ContainsFunc(s.Service.Spec.IPFamilies, func(one corev1.IPFamily) bool { return string(one) == f.String() }) {
			continue
		}
		for _, name := range j.names {
			if a := j.nodes[name].addressIn(f); a.IsValid() {
				all = append(all, Frontend{Service: nameOf(s.Service), Kind: NodeAddress, Address: netip.AddrPortFrom(a, uint16(port.NodePort)), Node: name})
				break
			}
		}
	}
	for _, p := range j.o.WayIn {
		if familyOf(p.Frontend.Address.Addr()) == f {
			all = append(all, p.Frontend)
		}
	}
	slices.SortStableFunc(all, func(a, b Frontend) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), a.Address.Compare(b.Address))
	})
	return all
}
