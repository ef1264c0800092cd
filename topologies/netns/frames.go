package netns

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

// Where a wire is policed, frames must come one by one: a policer can't cut a super-packet, and would pass or drop it whole. So whoever
// sends into the fabric without a shaper, which cuts, hands frames over one by one:
//
//   - A device whose gso_max_segs is 1 sends no super-packet: TCP makes none for it, and those of pods and UDP the kernel cuts right before
//     (gso_features_check, net/core/dev.c). This is set for the nodes' eth0 and, for what the fabric itself sends, its bridges.
//   - A port that runs an XDP program joins what it receives (GRO), unless its gro_max_size leaves no room (skb_gro_receive).
//
// Each has its default again where nothing is policed any longer.
const (
	oneSegment       = 1
	defaultSegments  = 65535 // GSO_MAX_SEGS of a device that cuts in software (include/linux/netdevice.h)
	noJoining        = 1     // bytes
	defaultMaxJoined = 65536 // GRO_LEGACY_MAX_SIZE
)

// frameByFrame returns the namespaces that must send frame by frame, of nodes whose wires are limited as they say.
func frameByFrame(nodes []topologies.Node) map[string]bool {
	single := make(map[string]bool)
	for _, n := range nodes {
		if isPoliced(n.ToNode) || isPoliced(n.FromNode) {
			single[Fabric] = true
		}
	}
	if !single[Fabric] {
		return single
	}
	for _, n := range nodes {
		if isShaped := n.FromNode.Rate > 0 && !isPoliced(n.FromNode); !isShaped {
			single[n.Name] = true
		}
	}
	return single
}

// isPoliced reports whether a direction has a policer.
func isPoliced(s topologies.Shape) bool { return s.Rate > 0 && s.Limit == topologies.LimitPolice }

// setFrameByFrame has these namespaces send frame by frame, and all other nodes and the fabric as they do by default. reach opens a
// namespace.
func (nw *Network) setFrameByFrame(single map[string]bool, reach func(ns string, f func(*rtnl.Conn) error) error) error {
	for i := range nw.plan.Nodes {
		name := nw.plan.Nodes[i].Name
		err := reach(name, func(c *rtnl.Conn) error { return setSegments(c, nodeDevice, single[name]) })
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return reach(Fabric, func(c *rtnl.Conn) error {
		for _, n := range nw.plan.Networks {
			if err := setSegments(c, nw.bridge(n.Name), single[Fabric]); err != nil {
				return err
			}
		}
		ports := []string{}
		for i := range nw.plan.Nodes {
			ports = append(ports, nw.plan.Nodes[i].Port)
		}
		if nw.hasExternal() {
			ports = append(ports, uplinkPort)
		}
		for _, port := range ports {
			if err := setJoining(c, port, !single[Fabric]); err != nil {
				return err
			}
		}
		return nil
	})
}

// setSegments has a device send frame by frame, or super-packets as it does by default.
func setSegments(c *rtnl.Conn, device string, single bool) error {
	link, err := c.LinkByName(device)
	if err != nil {
		return fmt.Errorf("device %s: %w", device, err)
	}
	want := defaultSegments
	if single {
		want = oneSegment
	}
	if link.Attrs().GSOMaxSegs == uint32(want) {
		return nil
	}
	if err := c.LinkSetGSOMaxSegs(link, want); err != nil {
		return fmt.Errorf("device %s: set gso_max_segs to %d: %w", device, want, err)
	}
	return nil
}

// setJoining turns on or off that a device joins the frames that it receives (GRO).
func setJoining(c *rtnl.Conn, device string, joins bool) error {
	link, err := c.LinkByName(device)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) && device == uplinkPort {
		return nil
	}
	if err != nil {
		return fmt.Errorf("device %s: %w", device, err)
	}
	want := noJoining
	if joins {
		want = defaultMaxJoined
	}
	if link.Attrs().GROMaxSize == uint32(want) {
		return nil
	}
	if err := c.LinkSetGROMaxSize(link, want); err != nil {
		return fmt.Errorf("device %s: set gro_max_size to %d: %w", device, want, err)
	}
	return nil
}

// setFrameByFrame prepares the network for the policers of its plan.
func (b *builder) setFrameByFrame() error {
	single := frameByFrame(b.plan.Nodes)
	if len(single) == 0 { // all has its defaults yet
		return nil
	}
	return b.Network.setFrameByFrame(single, func(ns string, f func(*rtnl.Conn) error) error { return f(b.ns(ns).conn) })
}

// nodesAsLimited is the plan's nodes with their wires as they are limited now.
func (nw *Network) nodesAsLimited(fabric *rtnl.Conn) ([]topologies.Node, error) {
	nodes := make([]topologies.Node, len(nw.plan.Nodes))
	for i := range nw.plan.Nodes {
		nodes[i] = nw.plan.Nodes[i]
		wire, err := nw.wire(fabric, &nodes[i])
		if err != nil {
			return nil, err
		}
		toNode, fromNode, err := wire.Read()
		if err != nil {
			return nil, err
		}
		nodes[i].ToNode, nodes[i].FromNode = toNode.Shape, fromNode.Shape
	}
	return nodes, nil
}
