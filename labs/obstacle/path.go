package obstacle

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/labs/edge/rules"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// DNATNLB is the obstacle that takes the place of an edge (testbed.Edge).
const DNATNLB = "dnat-nlb"

// pathObstacles translate addresses, remember connections, or block a port.
func pathObstacles() []Obstacle {
	const oneWay, halfOpen = "one-way-firewall", "half-open-firewall"
	return []Obstacle{
		{
			Name:        DNATNLB,
			Description: "The network load balancer in front translates the VIP to an LB node's NodePort, and expects the answers.",
			needs:       []need{ofRole(topologies.RoleNLB)},
			install:     func(ctx context.Context, tb *testbed.Testbed) error { return edge.Set(ctx, tb, testbed.EdgeStateful) },
			remove:      func(ctx context.Context, tb *testbed.Testbed) error { return edge.Set(ctx, tb, testbed.EdgeNone) },
		},
		{
			Name:        oneWay,
			Description: "A firewall on the way from nodes to clients remembers connections, and does not see the SYNs, which come another way.",
			needs:       []need{clusterNode(), clientApart()},
			install:     inFabric(func(p *topologies.Plan) error { return rules.DropInvalid(oneWay, fromClients(p)...) }),
			remove:      inFabric(func(*topologies.Plan) error { return rules.PassInvalid(oneWay) }),
		},
		{
			Name:        halfOpen,
			Description: "A firewall in front of the LB nodes remembers connections, and drops those whose SYN-ACK it does not see, as pod nodes send theirs another way.",
			needs:       []need{ofRole(topologies.RoleLB), ofRole(topologies.RoleWorker), clientApart()},
			install:     inFabric(func(p *topologies.Plan) error { return rules.DropInvalid(halfOpen, fromPodNodes(p)...) }),
			remove:      inFabric(func(*topologies.Plan) error { return rules.PassInvalid(halfOpen) }),
		},
		dropping("geneve-blocked", "Between the nodes UDP port 6081 is blocked, as by a security group that does not name it.", neighbours(),
			func(p *topologies.Plan) []rules.Drop { return betweenNodes(p, rules.Drop{Port: genevePort}) }),
		{
			Name:        "node-behind-nat",
			Description: "Each node is behind a translator of its own, by whose address clients know it.",
			needs:       []need{clusterNode(), clientApart()},
			install:     inFabric(func(p *topologies.Plan) error { return rules.Translate(aliases(p)) }),
			remove:      inFabric(func(*topologies.Plan) error { return rules.Untranslate() }),
		},
	}
}

const genevePort = 6081

// clientDevices are the fabric's devices of networks that only clients are in.
func clientDevices(p *topologies.Plan) []string {
	var all []string
	for i, network := range p.Networks {
		others := slices.ContainsFunc(p.Nodes, func(n topologies.Node) bool { return n.Network == network.Name && n.Role != topologies.RoleClient })
		if !others {
			all = append(all, netns.BridgeName(i))
		}
	}
	return all
}

func fromClients(p *topologies.Plan) []rules.Unseen {
	var all []rules.Unseen
	for _, device := range clientDevices(p) {
		all = append(all, rules.Unseen{Device: device})
	}
	return all
}

// fromPodNodes is what nodes send that VIPs are not routed to.
func fromPodNodes(p *topologies.Plan) []rules.Unseen {
	var all []rules.Unseen
	for _, n := range p.NodesOf(topologies.RoleWorker) {
		all = append(all, rules.Unseen{MAC: []byte(n.MAC)})
	}
	return all
}

// aliases are the addresses by which clients know the nodes: of documentation (RFC 5737, RFC 3849), with the last byte of the own. A
// translator takes all that comes from its node with an address of the nodes' network for the node's.
func aliases(p *topologies.Plan) []rules.Alias {
	var all []rules.Alias
	for _, n := range p.ClusterNodes() {
		for _, own := range n.Addresses {
			other := netip.MustParseAddr("198.51.100.0").AsSlice()
			if own.Addr().Is6() {
				other = netip.MustParseAddr("2001:db8:ff::").AsSlice()
			}
			bytes := own.Addr().AsSlice()
			other[len(other)-1] = bytes[len(bytes)-1]
			address, _ := netip.AddrFromSlice(other)
			for _, device := range clientDevices(p) {
				all = append(all, rules.Alias{MAC: []byte(n.MAC), Own: own.Addr(), Other: address, Sources: []netip.Prefix{own.Masked()}, Device: device})
			}
		}
	}
	return all
}

// sizeObstacles carry less than the nodes' links.
func sizeObstacles() []Obstacle {
	const small, tagged, jumbo = 1450, 4, 9000
	return []Obstacle{
		dropping("path-mtu", "Between the nodes no packet of more than 1450 bytes passes, and nobody is told.", neighbours(),
			func(p *topologies.Plan) []rules.Drop { return betweenNodes(p, rules.Drop{LongerThan: small}) }),
		dropping("vlan-overhead", "Between the nodes a tag takes 4 bytes of what the links carry.", neighbours(),
			func(p *topologies.Plan) []rules.Drop {
				var all []rules.Drop
				for _, n := range p.ClusterNodes() {
					for _, d := range betweenNodes(p, rules.Drop{LongerThan: p.MTUOf(&n) - tagged}) {
						if d.In == n.Port {
							all = append(all, d)
						}
					}
				}
				return all
			}),
		{
			Name: "mtu-mixed", Description: "One node's link has an MTU of 9000 bytes, the others keep theirs.",
			needs:   []need{clusterNodes()},
			install: func(_ context.Context, tb *testbed.Testbed) error { return setMTU(tb, jumbo) },
			remove: func(_ context.Context, tb *testbed.Testbed) error {
				return setMTU(tb, tb.Plan().MTUOf(lastNode(tb.Plan())))
			},
		},
	}
}

func lastNode(p *topologies.Plan) *topologies.Node {
	all := p.ClusterNodes()
	return &all[len(all)-1]
}

// outside is a node's device towards the fabric.
const outside = "eth0"

// setMTU sets the MTU of the last node's wire.
func setMTU(tb *testbed.Testbed, mtu int) error {
	n := lastNode(tb.Plan())
	set := func(place, device string) error {
		return tb.Network().Do(place, func() error {
			link, err := netlink.LinkByName(device)
			if err == nil {
				err = netlink.LinkSetMTU(link, mtu)
			}
			if err != nil {
				return fmt.Errorf("set MTU of %s in %s: %w", device, place, err)
			}
			return nil
		})
	}
	return errors.Join(set(netns.Fabric, n.Port), set(n.Name, outside))
}

// nodeObstacles are settings of the nodes.
func nodeObstacles() []Obstacle {
	return []Obstacle{
		{
			Name:        "rp-filter",
			Description: "The nodes have a strict reverse path filter, and another route to clients than that by which other nodes hand on their packets.",
			needs:       []need{ipv4Client()},
			install: onNodes(func(n *topologies.Node, p *topologies.Plan) error {
				return errors.Join(otherRoute(n, p), reversePathFilter("1"))
			}),
			remove: onNodes(func(*topologies.Node, *topologies.Plan) error {
				return errors.Join(removeOtherRoute(), reversePathFilter("0"))
			}),
		},
		{
			Name:        "conntrack-invalid",
			Description: "The nodes drop packets that belong to no connection which they have seen begin.",
			needs:       []need{clusterNode()},
			install:     onNodes(func(*topologies.Node, *topologies.Plan) error { return rules.DropInvalid("node") }),
			remove:      onNodes(func(*topologies.Node, *topologies.Plan) error { return rules.PassInvalid("node") }),
		},
	}
}

// onNodes is a step that is done inside each LB and pod node's namespace.
func onNodes(do func(*topologies.Node, *topologies.Plan) error) func(context.Context, *testbed.Testbed) error {
	return func(_ context.Context, tb *testbed.Testbed) error {
		var errs []error
		for _, n := range tb.ClusterNodes() {
			if err := tb.Network().Do(n.Name, func() error { return do(&n, tb.Plan()) }); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", n.Name, err))
			}
		}
		return errors.Join(errs...)
	}
}

// reversePathFilter sets the filter of all of a namespace's devices.
func reversePathFilter(mode string) error {
	path := filepath.Join("/proc/sys/net/ipv4/conf/all", "rp_filter")
	if err := os.WriteFile(path, []byte(mode), 0o644); err != nil {
		return fmt.Errorf("set reverse path filter: %w", err)
	}
	return nil
}
