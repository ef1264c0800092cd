package topologies

import (
	"fmt"
	"net/netip"
	"slices"
)

func (c *checker) networks() {
	networks := c.t.Spec.Networks
	if len(networks) == 0 {
		c.unsure = true
		c.errorf("spec.networks", "is missing, want at least one network")
	}
	names := map[string]int{}
	for i := range networks {
		n, field := &networks[i], fmt.Sprintf("spec.networks[%d]", i)
		if c.name(field+".name", n.Name, 0) {
			if first, twice := names[n.Name]; twice {
				c.errorf(field+".name", "the name %s is already that of spec.networks[%d]", n.Name, first)
			} else {
				names[n.Name] = i
			}
		}
		// What it has from the topology is checked there.
		if n.MTU != c.t.Spec.MTU && (n.MTU < minMTU6 || n.MTU > maxMTU) {
			c.errorf(field+".mtu", "is %d, want %d to %d", n.MTU, minMTU6, maxMTU)
		}
		c.subnets(field, i)
	}
}

// subnets checks the subnets and gateways of one network.
func (c *checker) subnets(field string, index int) {
	n := &c.t.Spec.Networks[index]
	subnets := givens(field, "subnet", "subnets", n.Subnet, n.Subnets)
	if len(subnets) == 0 {
		c.unsure = true
		c.follows(field+".subnets", field+".subnet", missingSubnet)
		return
	}
	right := onePerFamily(c, field+".subnet", n.Subnet, subnets, netip.Prefix.Addr)
	for _, s := range subnets {
		if !c.subnet(s.field, s.value) {
			right = false
		}
	}
	gateways := givens(field, "gateway", "gateways", n.Gateway, n.Gateways)
	gatewaysRight := onePerFamily(c, field+".gateway", n.Gateway, gateways, func(a netip.Addr) netip.Addr { return a })
	if !right {
		c.unsure = true
		return
	}
	if !gatewaysRight {
		return
	}
	for _, g := range gateways {
		c.gateway(g, index)
	}
}

// gateway checks an address that the fabric is to have in a network whose subnets are right.
func (c *checker) gateway(g given[netip.Addr], index int) {
	n := &c.t.Spec.Networks[index]
	subnet := likePrefix(n.subnets(), g.value)
	if !subnet.IsValid() {
		subnet = n.subnets()[0]
	}
	for i := range c.t.Spec.Networks[:index] {
		if slices.ContainsFunc(c.t.Spec.Networks[i].subnets(), subnet.Overlaps) {
			return // which overlaps tells
		}
	}
	if !isHost(subnet, g.value) || !isUnicast(g.value) {
		c.errorf(g.field, "%s is no address that a host of %s can have", orMissing(g.value), subnet)
		return
	}
	c.address(g.field, g.value, "the gateway of network "+n.Name)
}

// orMissing prints an address of a list, which may be null.
func orMissing(a netip.Addr) string {
	if !a.IsValid() {
		return "null"
	}
	return a.String()
}

// onePerFamily checks that values with a plural form are of different IP versions, and that the singular, if both are given,
// is the first. What isn't valid at all is for others to tell.
func onePerFamily[T comparable](c *checker, field string, singular T, all []given[T], addr func(T) netip.Addr) bool {
	right := true
	var none T
	if len(all) > 0 && singular != none && singular != all[0].value {
		c.errorf(field, "is %v, want %v: the first of the plural form, or none", singular, all[0].value)
		right = false
	}
	for i, g := range all {
		for _, before := range all[:i] {
			if alikeFamily(addr(g.value), addr(before.value)) {
				c.errorf(g.field, "%v is of the same IP version as %v, want one of each at most", g.value, before.value)
				right = false
				break
			}
		}
	}
	return right
}

const missingSubnet = "is missing, want a subnet, as in 192.168.1.0/24"

// subnet checks a network's subnet or a pod CIDR.
func (c *checker) subnet(field string, p netip.Prefix) bool {
	const margin = 2 // a subnet needs a gateway, a host, and what is no host's
	switch {
	case !p.IsValid():
		c.errorf(field, missingSubnet)
	case !isUnicast(p.Masked().Addr()) || !isUnicast(lastAddr(p)) || p.Bits() == 0:
		c.errorf(field, "%s is no subnet of unicast addresses", p)
	case p != p.Masked():
		c.errorf(field, "%s has bits behind the prefix, want %s", p, p.Masked())
	case p.Bits() > p.Addr().BitLen()-margin:
		c.errorf(field, "%s has no room for hosts, want /%d or larger", p, p.Addr().BitLen()-margin)
	default:
		return true
	}
	return false
}
