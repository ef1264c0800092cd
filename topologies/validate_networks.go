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
	if len(n.Subnets) == 0 {
		c.unsure = true
		c.errorf(field+".subnets", "is missing, want a list of one subnet, or of one of each IP version, as in [192.168.1.0/24]")
		return
	}
	right := onePerFamily(c, field+".subnets", n.Subnets, netip.Prefix.Addr)
	for i, p := range n.Subnets {
		if !c.subnet(fmt.Sprintf("%s.subnets[%d]", field, i), p) {
			right = false
		}
	}
	gatewaysRight := onePerFamily(c, field+".gateways", n.Gateways, sameAddr)
	if !right {
		c.unsure = true
		return
	}
	if !gatewaysRight {
		return
	}
	for i, a := range n.Gateways {
		c.gateway(fmt.Sprintf("%s.gateways[%d]", field, i), a, index)
	}
}

// gateway checks an address that the fabric is to have in a network whose subnets are right.
func (c *checker) gateway(field string, a netip.Addr, index int) {
	n := &c.t.Spec.Networks[index]
	subnet := likePrefix(n.Subnets, a)
	if !subnet.IsValid() {
		subnet = n.Subnets[0]
	}
	for i := range c.t.Spec.Networks[:index] {
		if slices.ContainsFunc(c.t.Spec.Networks[i].Subnets, subnet.Overlaps) {
			return // overlaps reports it
		}
	}
	if !isHost(subnet, a) || !isUnicast(a) {
		c.errorf(field, "%s is no address that a host of %s can have", orMissing(a), subnet)
		return
	}
	c.address(field, a, "the gateway of network "+n.Name)
}

// orMissing prints an address of a list, which may be null.
func orMissing(a netip.Addr) string {
	if !a.IsValid() {
		return "null"
	}
	return a.String()
}

// onePerFamily checks that the values of a list are of different IP versions. What isn't valid at all, other checks report.
func onePerFamily[T any](c *checker, field string, all []T, addr func(T) netip.Addr) bool {
	right := true
	for i, value := range all {
		for _, before := range all[:i] {
			if alikeFamily(addr(value), addr(before)) {
				c.errorf(fmt.Sprintf("%s[%d]", field, i), "%v is of the same IP version as %v, want one of each at most", value, before)
				right = false
				break
			}
		}
	}
	return right
}

// sameAddr is onePerFamily's addr for lists of addresses.
func sameAddr(a netip.Addr) netip.Addr { return a }

// subnet checks a network's subnet or a pod CIDR.
func (c *checker) subnet(field string, p netip.Prefix) bool {
	const margin = 2 // a subnet needs a gateway, a host, and what is no host's
	switch {
	case !p.IsValid():
		c.errorf(field, "is missing, want a subnet, as in 192.168.1.0/24")
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
