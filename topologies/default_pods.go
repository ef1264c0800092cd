package topologies

import (
	"net/netip"
	"slices"
)

// podBlocks are the pod CIDRs that nodes get by default: 65536 blocks of one size, less what is in use.
type podBlocks struct {
	pool netip.Prefix
	bits int
	used []bool
}

const podBlockBits = 16 // of the pool's size in blocks, as a power of two

func newPodBlocks(pool string) *podBlocks {
	prefix := netip.MustParsePrefix(pool)
	return &podBlocks{pool: prefix, bits: prefix.Bits() + podBlockBits, used: make([]bool, 1<<podBlockBits)}
}

// index is the block of an address in the pool.
func (b *podBlocks) index(a netip.Addr) int {
	bytes := a.AsSlice()
	at := b.pool.Bits() / 8
	return int(bytes[at])<<8 | int(bytes[at+1])
}

// use takes all blocks that a prefix touches.
func (b *podBlocks) use(p netip.Prefix) {
	if !p.IsValid() || !p.Overlaps(b.pool) {
		return
	}
	first, last := p.Masked().Addr(), lastAddr(p)
	if !b.pool.Contains(first) {
		first = b.pool.Addr()
	}
	if !b.pool.Contains(last) {
		last = lastAddr(b.pool)
	}
	for i := b.index(first); i <= b.index(last); i++ {
		b.used[i] = true
	}
}

// take gives the first of n free blocks in a row; it is not valid if there are none.
func (b *podBlocks) take(n int) netip.Prefix {
	for i, run := 0, 0; i < len(b.used); i++ {
		if b.used[i] {
			run = 0
			continue
		}
		if run++; run == n {
			for j := i - n + 1; j <= i; j++ {
				b.used[j] = true
			}
			return addPrefix(netip.PrefixFrom(b.pool.Addr(), b.bits), uint64(i-n+1))
		}
	}
	return netip.Prefix{}
}

// Pools of addresses that topologies don't name.
const (
	podPool4     = "10.0.0.0/8"
	podPool6     = "fd00:10::/48"
	clusterPool4 = "10.96.0.0/16" // as kubeadm has it
	clusterPool6 = "fd00:10:0:ffff::/112"
)

// defaultPodCIDRs gives every node that may have pods its pod CIDRs, one for each IP version of its addresses: the next free
// /24 of 10.0.0.0/8, or /64 of fd00:10::/48. Free is what no network, VIP, cluster IP or other pod CIDR is in.
func defaultPodCIDRs(s *Spec) {
	four, six := newPodBlocks(podPool4), newPodBlocks(podPool6)
	for _, p := range usedPrefixes(s) {
		four.use(p)
		six.use(p)
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if n.Role.OutsideCluster() {
			continue
		}
		all := slices.Clone(n.PodCIDRs)
		for _, a := range n.Addresses {
			if !a.IsValid() || likePrefix(all, a).IsValid() || len(all) > 0 && len(n.Addresses) == 1 {
				continue // the last: of the wrong IP version
			}
			blocks := four
			if a.Is6() {
				blocks = six
			}
			if block := blocks.take(min(max(n.Replicas, 1), MaxNodes)); block.IsValid() {
				all = append(all, block)
			}
		}
		n.PodCIDRs = all
	}
}

// usedPrefixes are those that no pod CIDR may be in by default.
func usedPrefixes(s *Spec) []netip.Prefix {
	used := []netip.Prefix{netip.MustParsePrefix(clusterPool4), netip.MustParsePrefix(clusterPool6)}
	for i := range s.Networks {
		used = append(used, s.Networks[i].Subnets...)
	}
	for i := range s.Services {
		for _, f := range frontendAddresses(&s.Services[i]) {
			if f.address.IsValid() {
				used = append(used, hostPrefix(f.address))
			}
		}
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		for _, p := range n.PodCIDRs {
			if !p.IsValid() {
				continue
			}
			for r := range min(max(n.Replicas, 1), MaxNodes) {
				used = append(used, addPrefix(p, uint64(r)))
			}
		}
	}
	return used
}
