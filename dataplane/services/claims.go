package services

import (
	"fmt"
	"net/netip"
	"slices"
)

// Reserved are addresses that no Service may claim as a VIP or externalIP, because the traffic of a host, or of the cluster itself, is
// for them (CVE-2020-8554).
type Reserved struct {
	Prefix netip.Prefix
	// What they are, as in "the address of the gateway".
	What string
	// Host reports whether a host outside of the cluster has the address. An endpoint may be there.
	Host bool
}

// SetReserved takes all reserved addresses there are. Like SetNodes it costs as much as there are services, unless nothing has changed.
func (t *Tracker) SetReserved(reserved []Reserved) []Change {
	if slices.Equal(t.reserved, reserved) {
		return nil
	}
	t.reserved = slices.Clone(reserved)
	return t.rebuildAll()
}

// mayClaim reports whether a service may be served at an address, and otherwise notes why not.
//
// ClusterIPs come from the API server, which takes them from its own ranges. VIPs are written by who may write a Service's status.
// ExternalIPs are written by who may create a Service, so the operator has to allow them.
func (c *compiler) mayClaim(object, field string, a netip.Addr, kind Kind) bool {
	refuse := func(want, format string, args ...any) bool {
		c.problem(object, field, want, format, args...)
		return false
	}
	holder := c.nodes.holders[a]
	if kind == KindClusterIP {
		return holder == nil || refuse("use an address of the cluster's range for services", "%s is an address of node %s", a, holder.name)
	}
	if kind == KindExternalIP && !contained(c.options.ExternalIPs, a) {
		return refuse("let the operator add it to loadBalancer.externalIPs of dsrd's configuration", "%s is not allowed", a)
	}
	// An externalIP that is a node's takes its one port there. A VIP would take the others from the node, too.
	if holder != nil {
		return kind == KindExternalIP || refuse("use an address that no host has", "%s is an address of node %s", a, holder.name)
	}
	if what := c.reservedAs(a); what != "" {
		return refuse("use an address that no host has", "%s is %s", a, what)
	}
	return true
}

// reservedAs says what an address is reserved for; it is empty where it isn't.
func (c *compiler) reservedAs(a netip.Addr) string {
	for _, r := range c.reserved {
		if r.Prefix.Contains(a) {
			return r.What
		}
	}
	for _, node := range c.nodes.ordered {
		for _, cidr := range node.podCIDRs {
			if cidr.Contains(a) {
				return fmt.Sprintf("in the pod CIDR %s of node %s", cidr, node.name)
			}
		}
	}
	return ""
}

// mayBeOutside reports whether an address that is no node's and no pod's can be that of a backend outside of the cluster, and what else
// it is.
func (c *compiler) mayBeOutside(a netip.Addr) (what string, ok bool) {
	for _, r := range c.reserved {
		if !r.Host && r.Prefix.Contains(a) {
			return r.What, false
		}
	}
	return "", true
}

func contained(in []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(in, func(p netip.Prefix) bool { return p.Contains(a) })
}
