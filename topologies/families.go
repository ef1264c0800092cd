package topologies

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Fields that a dual-stack topology needs twice have a plural form, as in Kubernetes: subnet and subnets, address and
// addresses. Either may be given; if both are, the singular is the first of the plural.

// plural is what a field and its plural form say together.
func plural[T comparable](one T, many []T) []T {
	var none T
	if one == none || len(many) > 0 {
		return many
	}
	return []T{one}
}

// given is a value of a file, and the field that it stands in.
type given[T any] struct {
	field string
	value T
}

// givens are the values of a field and its plural form with their fields, each after a prefix.
func givens[T comparable](prefix, singular, pluralForm string, one T, many []T) []given[T] {
	var all []given[T]
	var none T
	for i, value := range plural(one, many) {
		field := fmt.Sprintf("%s.%s[%d]", prefix, pluralForm, i)
		if i == 0 && one != none {
			field = prefix + "." + singular
		}
		all = append(all, given[T]{field, value})
	}
	return all
}

func (n *NetworkSpec) subnets() []netip.Prefix { return plural(n.Subnet, n.Subnets) }

func (n *NetworkSpec) gateways() []netip.Addr { return plural(n.Gateway, n.Gateways) }

// gateway is the fabric's address in a subnet; not valid if none is of its IP version.
func (n *NetworkSpec) gateway(subnet netip.Prefix) netip.Addr {
	return like(n.gateways(), subnet.Addr())
}

// contains says in which of the network's subnets an address is.
func (n *NetworkSpec) contains(a netip.Addr) (netip.Prefix, bool) {
	for _, p := range n.subnets() {
		if p.Contains(a) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

func (n *NodeSpec) addresses() []netip.Addr { return plural(n.Address, n.Addresses) }

func (n *NodeSpec) podCIDRs() []netip.Prefix { return plural(n.PodCIDR, n.PodCIDRs) }

func (p *PodSpec) addresses() []netip.Addr { return plural(p.Address, p.Addresses) }

// alikeFamily says whether two addresses are of the same IP version.
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
