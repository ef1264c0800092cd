package topologies

import (
	"slices"
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

	// policedFrames and policedTime are the least that the burst of a policed link defaults to, in full frames and as time at its
	// rate. Senders don't know of a policer and send in bursts: TCP begins with ten segments back to back (RFC 6928), which
	// a smaller bucket would cut off every new connection; and network cards, schedulers and ACKs that come together make
	// bursts that last milliseconds, for which vendors of routers advise 5 ms. A larger bucket would be a queue's worth of
	// traffic above the rate.
	policedFrames = 10
	policedTime   = 5 * time.Millisecond

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
		defaultGateways(n)
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

// defaultGateways gives every subnet of a network a gateway.
func defaultGateways(n *NetworkSpec) {
	all := slices.Clone(n.Gateways)
	for _, subnet := range n.Subnets {
		if subnet.IsValid() && !like(all, subnet.Addr()).IsValid() {
			all = append(all, defaultGateway(subnet))
		}
	}
	n.Gateways = all
}

// linkMTU is the MTU of a node's wire, as its network has it; the largest if replicas are in several.
func linkMTU(s *Spec, n *NodeSpec) int {
	mtu := 0
	for _, first := range n.Addresses {
		last := addAddr(first, uint64(min(max(n.Replicas, 1), MaxNodes)-1))
		for i := range s.Networks {
			for _, p := range s.Networks[i].Subnets {
				between := last.IsValid() && first.Less(p.Addr()) && p.Addr().Less(last)
				if first.IsValid() && p.IsValid() && (p.Contains(first) || p.Contains(last) || between) {
					mtu = max(mtu, s.Networks[i].MTU)
				}
			}
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
		if way.Limit == "" {
			way.Limit = l.Limit
		}
		// A direction that is policed on its own has no use for the queue of a link that is shaped.
		if way.Queue == 0 && (way.Limit != LimitPolice || l.Limit == LimitPolice) {
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

// defaultShape completes one direction of a link that has a rate.
func defaultShape(s *Shape, mtu int) {
	if s.Rate <= 0 {
		return
	}
	if s.Limit == "" {
		s.Limit = LimitShape
	}
	if s.Overhead == nil {
		overhead := DefaultOverhead
		s.Overhead = &overhead
	}
	if s.Limit == LimitPolice {
		if s.Burst == 0 {
			s.Burst = max(policedFrames*s.frame(mtu), s.Rate.in(policedTime))
		}
		return
	}
	if s.Queue == 0 {
		s.Queue = max(DefaultQueue, s.Rate.in(queueTime))
	}
	if s.Burst == 0 {
		s.Burst = max(2*s.frame(mtu), s.Rate.in(burstTime))
	}
}

// WithLimit returns the shape with its rate and another limit, whose queue or burst is the default.
func (s Shape) WithLimit(limit Limit, mtu int) Shape {
	other := Shape{Rate: s.Rate, Limit: limit, Overhead: s.Overhead}
	defaultShape(&other, mtu)
	return other
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
