package topologies

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// block is a subnet of the fabric or a node's pod CIDR.
type block struct {
	prefix netip.Prefix
	field  string
	order  int // in the file
	owner  string
}

// overlaps checks that subnets and pod CIDRs have no address in common.
func (c *checker) overlaps() {
	c.blocks = c.allBlocks()
	slices.SortFunc(c.blocks, func(a, b block) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), cmp.Compare(a.order, b.order))
	})
	reported := map[[2]string]bool{}
	widest := -1 // the block that reaches farthest so far
	for i := range c.blocks {
		if widest >= 0 && c.blocks[widest].prefix.Overlaps(c.blocks[i].prefix) {
			first, second := c.blocks[widest], c.blocks[i]
			if first.order > second.order {
				first, second = second, first
			}
			if pair := [2]string{first.field, second.field}; !reported[pair] {
				reported[pair] = true
				c.errorf(second.field, "%s overlaps %s, %s", second.prefix, first.owner, first.prefix)
			}
			continue // of two that overlap one holds the other
		}
		widest = i
	}
}

func (c *checker) allBlocks() []block {
	var all []block
	add := func(p netip.Prefix, field, owner string) {
		if p.IsValid() {
			all = append(all, block{p.Masked(), field, len(all), owner})
		}
	}
	for i, n := range c.t.Spec.Networks {
		for k, p := range n.Subnets {
			add(p, fmt.Sprintf("spec.networks[%d].subnets[%d]", i, k), "network "+n.Name)
		}
	}
	short := map[string]bool{}
	for _, n := range c.x.nodes {
		spec := &c.t.Spec.Nodes[n.spec]
		if spec.Role.OutsideCluster() {
			continue
		}
		for k, p := range spec.PodCIDRs {
			field := fmt.Sprintf("spec.nodes[%d].podCIDRs[%d]", n.spec, k)
			if p.IsValid() && !n.podCIDRs[k].IsValid() && !short[field] {
				short[field] = true
				c.errorf(field, "%s leaves no pod CIDR for replica %s: too many replicas", p, n.name)
			}
			add(n.podCIDRs[k], field, "the pod CIDR of node "+n.name)
		}
	}
	return all
}

// blockOf is the subnet or pod CIDR that an address is in.
func (c *checker) blockOf(a netip.Addr) (block, bool) {
	after, _ := slices.BinarySearchFunc(c.blocks, a, func(b block, a netip.Addr) int {
		if b.prefix.Addr().Compare(a) <= 0 {
			return -1
		}
		return 1
	})
	if after > 0 && c.blocks[after-1].prefix.Contains(a) {
		return c.blocks[after-1], true
	}
	return block{}, false
}
