package topologies

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// gateway is the fabric's address in a subnet; not valid if none is of its IP version.
func (n *NetworkSpec) gateway(subnet netip.Prefix) netip.Addr {
	return like(n.Gateways, subnet.Addr())
}

// contains returns the network's subnet that an address is in, and reports whether there is one.
func (n *NetworkSpec) contains(a netip.Addr) (netip.Prefix, bool) {
	for _, p := range n.Subnets {
		if p.Contains(a) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// alikeFamily reports whether two addresses are of the same IP version.
func alikeFamily(a, b netip.Addr) bool { return a.IsValid() && b.IsValid() && a.Is4() == b.Is4() }

// like is the first address of the same IP version as another; not valid if there is none.
func like(all []netip.Addr, other netip.Addr) netip.Addr {
	i := slices.IndexFunc(all, func(a netip.Addr) bool { return alikeFamily(a, other) })
	if i < 0 {
		return netip.Addr{}
	}
	return all[i]
}

// likePrefix is the first prefix of the same IP version as an address; not valid if there is none.
func likePrefix(all []netip.Prefix, other netip.Addr) netip.Prefix {
	i := slices.IndexFunc(all, func(p netip.Prefix) bool { return alikeFamily(p.Addr(), other) })
	if i < 0 {
		return netip.Prefix{}
	}
	return all[i]
}

// addrsOf are the addresses of prefixes.
func addrsOf(all []netip.Prefix) []netip.Addr {
	addresses := make([]netip.Addr, len(all))
	for i, p := range all {
		addresses[i] = p.Addr()
	}
	return addresses
}

// familyOf is an address's IP version in Kubernetes' words.
func familyOf(a netip.Addr) corev1.IPFamily {
	if a.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// otherFamily is the one of the two that f isn't.
func otherFamily(f corev1.IPFamily) corev1.IPFamily {
	if f == corev1.IPv4Protocol {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}
