package topologies

import (
	"net/netip"
	"time"
)

// Defaults of what a topology leaves open.
const (
	DefaultCongestionControl = "cubic"
	DefaultMTU               = 1500
	// DefaultQueue is the queue of a shaped link: 21 ms at 100 Mbit/s, so that TCP fills the link.
	DefaultQueue Size = 256 << 10
	// DefaultOverhead is what Ethernet puts around each frame (IEEE 802.3).
	DefaultOverhead = 24

	// queueTime and burstTime are the least that queue and burst of a fast link default to, as time at its rate.
	queueTime = 4 * time.Millisecond
	burstTime = 500 * time.Microsecond

	ethernetHeader = 14
)

// Default fills in everything that a topology leaves open, except what replicas come to. It is the only place for defaults.
// It takes any topology, right or wrong, and doing it twice is doing it once.
func Default(t *Topology) {
	s := &t.Spec
	if s.Substrate == "" {
		s.Substrate = SubstrateNetns
	}
	if s.CongestionControl == "" {
		s.CongestionControl = DefaultCongestionControl
	}
	if s.MTU == 0 {
		s.MTU = DefaultMTU
	}
	for i := range s.Networks {
		n := &s.Networks[i]
		if !n.Gateway.IsValid() && n.Subnet.IsValid() {
			n.Gateway = defaultGateway(n.Subnet)
		}
		if n.MTU == 0 {
			n.MTU = s.MTU
		}
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if n.Replicas == 0 {
			n.Replicas = 1
		}
		defaultLink(&n.Link, linkMTU(s, n))
	}
	defaultPodCIDRs(s)
	for i := range s.Pods {
		if p := &s.Pods[i]; p.Replicas == 0 {
			p.Replicas = 1
		}
	}
	defaultServices(s)
}

// linkMTU is the MTU of a node's wire, as its network has it; the largest if replicas are in several.
func linkMTU(s *Spec, n *NodeSpec) int {
	mtu, first := 0, n.Address
	last := addAddr(first, uint64(min(max(n.Replicas, 1), MaxNodes)-1))
	for i := range s.Networks {
		p := s.Networks[i].Subnet
		between := last.IsValid() && first.Less(p.Addr()) && p.Addr().Less(last)
		if first.IsValid() && p.IsValid() && (p.Contains(first) || p.Contains(last) || between) {
			mtu = max(mtu, s.Networks[i].MTU)
		}
	}
	if mtu == 0 {
		return s.MTU
	}
	return mtu
}

// defaultLink completes a link: the directions that override something take the rest from the link as a whole.
func defaultLink(l *LinkSpec, mtu int) {
	for _, way := range []*Shape{l.ToNode, l.FromNode} {
		if way == nil {
			continue
		}
		if way.Rate == 0 {
			way.Rate = l.Rate
		}
		if way.Queue == 0 {
			way.Queue = l.Queue
		}
		if way.Burst == 0 {
			way.Burst = l.Burst
		}
		if way.Overhead == nil && l.Overhead != nil {
			overhead := *l.Overhead
			way.Overhead = &overhead
		}
		defaultShape(way, mtu)
	}
	defaultShape(&l.Shape, mtu)
}

// defaultShape completes the shape of a link that has a rate.
func defaultShape(s *Shape, mtu int) {
	if s.Rate <= 0 {
		return
	}
	if s.Overhead == nil {
		overhead := DefaultOverhead
		s.Overhead = &overhead
	}
	if s.Queue == 0 {
		s.Queue = max(DefaultQueue, s.Rate.in(queueTime))
	}
	if s.Burst == 0 {
		s.Burst = max(2*s.frame(mtu), s.Rate.in(burstTime))
	}
}

// in is what the rate carries in a time.
func (r Rate) in(d time.Duration) Size { return Size(float64(r) / 8 * d.Seconds()) }

// frame is a full frame on the wire.
func (s *Shape) frame(mtu int) Size {
	size := mtu + ethernetHeader
	if s.Overhead != nil {
		size += *s.Overhead
	}
	return Size(size)
}

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

// defaultPodCIDRs gives every node that may have pods its pod CIDR: the next free /24 of 10.0.0.0/8, or /64 of
// fd00:10::/48 if the node's address is of IPv6. Free is what no network, VIP, cluster IP or other pod CIDR is in.
func defaultPodCIDRs(s *Spec) {
	four, six := newPodBlocks(podPool4), newPodBlocks(podPool6)
	use := func(p netip.Prefix) { four.use(p); six.use(p) }
	use(netip.MustParsePrefix(clusterPool4))
	use(netip.MustParsePrefix(clusterPool6))
	for i := range s.Networks {
		use(s.Networks[i].Subnet)
	}
	for i := range s.Services {
		for _, f := range frontendAddresses(&s.Services[i]) {
			if f.address.IsValid() {
				use(hostPrefix(f.address))
			}
		}
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		for r := range min(max(n.Replicas, 1), MaxNodes) {
			if !n.PodCIDR.IsValid() {
				break
			}
			use(addPrefix(n.PodCIDR, uint64(r)))
		}
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if n.PodCIDR.IsValid() || n.Role == RoleClient || !n.Address.IsValid() {
			continue
		}
		blocks := four
		if n.Address.Is6() {
			blocks = six
		}
		n.PodCIDR = blocks.take(min(max(n.Replicas, 1), MaxNodes))
	}
}
