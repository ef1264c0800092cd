package topologies

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

const (
	minRate Rate = 1_000           // below it a frame takes seconds
	maxRate Rate = 400_000_000_000 // far above what a veth carries
	maxSize Size = 1 << 30         // the kernel counts queues in 32 bits
	// maxBurst is below what the kernel can hold: 2^32 ticks of 64 ns (net/sched/sch_tbf.c, PSCHED_SHIFT).
	maxBurst    = time.Minute
	maxOverhead = 256
)

func (c *checker) nodes() {
	nodes := c.t.Spec.Nodes
	if len(nodes) == 0 {
		c.errorf("spec.nodes", "is missing, want at least one node")
	}
	if c.x.tooManyNodes {
		c.errorf("spec.nodes", "are more than %d with all replicas", MaxNodes)
	}
	for i := range nodes {
		n, field := &nodes[i], fmt.Sprintf("spec.nodes[%d]", i)
		c.name(field+".name", n.Name, n.Replicas)
		c.role(field, n)
		if n.Replicas < 1 || n.Replicas > MaxNodes {
			c.errorf(field+".replicas", "is %d, want 1 to %d", n.Replicas, MaxNodes)
		}
		if !n.Address.IsValid() {
			c.errorf(field+".address", "is missing, want an IP address in one of the networks")
		}
		c.link(field+".link", &n.Link, linkMTU(&c.t.Spec, n))
	}
	broken := map[string]bool{} // one error of a kind for each NodeSpec is enough
	for i := range c.x.nodes {
		n := &c.x.nodes[i]
		field := fmt.Sprintf("spec.nodes[%d]", n.spec)
		if nodes[n.spec].Name != "" {
			c.unique(field+".name", n.name, "node "+n.name)
		}
		if at := field + ".address"; !broken[at] && nodes[n.spec].Address.IsValid() {
			broken[at] = !c.nodeAddress(at, n)
		}
	}
}

func (c *checker) role(field string, n *NodeSpec) {
	switch n.Role {
	case RoleClient:
		if n.PodCIDR.IsValid() {
			c.errorf(field+".podCIDR", "a client has no pods, want none")
		}
	case RoleLB, RoleWorker:
		if n.PodCIDR.IsValid() {
			c.subnet(field+".podCIDR", n.PodCIDR)
			if isUnicast(n.Address) && n.PodCIDR.Addr().Is4() != n.Address.Is4() {
				c.errorf(field+".podCIDR", "%s is not of the same IP version as the node's address %s", n.PodCIDR, n.Address)
			}
		} else if n.Address.IsValid() {
			c.errorf(field+".podCIDR", "is missing, and too few subnets of %s are free", podPool(n.Address))
		}
	case "":
		c.errorf(field+".role", "is missing, want client, lb or worker")
	default:
		c.errorf(field+".role", "%q is no role%s", n.Role, manifest.Suggest(string(n.Role), []string{"client", "lb", "worker"}))
	}
}

func podPool(a netip.Addr) string {
	if a.Is4() {
		return podPool4
	}
	return podPool6
}

// nodeAddress checks the address of one replica.
func (c *checker) nodeAddress(field string, n *expandedNode) bool {
	shown := n.address.String()
	if first := c.t.Spec.Nodes[n.spec].Address; n.address != first {
		shown = fmt.Sprintf("%s of replica %s", orEnd(n.address), n.name)
	}
	if !isUnicast(n.address) {
		c.errorf(field, "%s is no unicast address", shown)
		return false
	}
	if c.unsure {
		return true
	}
	network, ok := c.networkOf(n.address)
	switch {
	case !ok:
		c.errorf(field, "%s is in none of the networks", shown)
	case !isHost(network.Subnet, n.address):
		c.errorf(field, "%s is no address that a host of network %s (%s) can have", shown, network.Name, network.Subnet)
	case c.taken[n.address] != "":
		c.errorf(field, "%s is already the address of %s", shown, c.taken[n.address])
	default:
		c.taken[n.address] = "node " + n.name
		return true
	}
	return false
}

// orEnd prints an address that may be beyond the last one.
func orEnd(a netip.Addr) string {
	if !a.IsValid() {
		return "the address beyond the last one"
	}
	return a.String()
}

// networkOf is the network that an address is in.
func (c *checker) networkOf(a netip.Addr) (NetworkSpec, bool) {
	i := slices.IndexFunc(c.t.Spec.Networks, func(n NetworkSpec) bool { return n.Subnet.Contains(a) })
	if i < 0 {
		return NetworkSpec{}, false
	}
	return c.t.Spec.Networks[i], true
}

// link checks a link whose defaults are filled in.
func (c *checker) link(field string, l *LinkSpec, mtu int) {
	used := l.Rate != 0
	for _, way := range []struct {
		name  string
		shape *Shape
	}{{"toNode", l.ToNode}, {"fromNode", l.FromNode}} {
		if way.shape != nil {
			c.shape(field, way.name+".", way.shape, &l.Shape, mtu)
			used = used || way.shape.Rate != 0
		}
	}
	if used && l.Rate == 0 { // then it is what the directions take their own from
		return
	}
	c.shape(field, "", &l.Shape, nil, mtu)
}

// shape checks one direction of a link, or all of it. What a direction took over from the link is reported there.
func (c *checker) shape(field, way string, s, link *Shape, mtu int) {
	at := func(name string, own bool) string {
		if own {
			return field + "." + way + name
		}
		return field + "." + name
	}
	rate := at("rate", link == nil || link.Rate != s.Rate)
	queue := at("queue", link == nil || link.Queue != s.Queue)
	burst := at("burst", link == nil || link.Burst != s.Burst)
	if s.Rate == 0 {
		if s.Queue != 0 {
			c.errorf(queue, "needs a rate: without one nothing waits for the wire")
		}
		if s.Burst != 0 {
			c.errorf(burst, "needs a rate: without one the wire is not shaped")
		}
		if s.Overhead != nil {
			c.errorf(at("overhead", link == nil || link.Overhead != s.Overhead), "needs a rate: without one the wire is not shaped")
		}
		return
	}
	if s.Rate < minRate || s.Rate > maxRate {
		c.errorf(rate, "is %s, want %s to %s", s.Rate, minRate, maxRate)
		return
	}
	if s.Overhead != nil && (*s.Overhead < 0 || *s.Overhead > maxOverhead) {
		c.errorf(at("overhead", link == nil || link.Overhead == nil || *link.Overhead != *s.Overhead),
			"is %d, want 0 to %d bytes a frame", *s.Overhead, maxOverhead)
		return
	}
	frame := s.frame(mtu)
	c.size(queue, s.Queue, frame)
	if c.size(burst, s.Burst, frame) && s.Burst > s.Rate.in(maxBurst) {
		c.errorf(burst, "is %s, which takes more than %s at %s", s.Burst, maxBurst, s.Rate)
	}
}

// size checks a queue or burst, which must hold a frame.
func (c *checker) size(field string, s, frame Size) bool {
	switch {
	case s < frame:
		c.errorf(field, "is %s, want at least one full frame: %db of MTU, Ethernet header and overhead", s, int64(frame))
	case s > maxSize:
		c.errorf(field, "is %s, want at most %s", s, maxSize)
	default:
		return true
	}
	return false
}
