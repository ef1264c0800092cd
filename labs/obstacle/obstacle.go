// Package obstacle makes the network of a running testbed do to the packets of Direct Server Return what networks elsewhere are known to
// do: drop foreign sources, translate, remember connections, block tunnels, carry less than they say. Everything happens inside the
// testbed's own namespaces, by nf_tables and netlink, and can be taken back.
package obstacle

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/labs/edge/rules"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// Obstacle is something that a network does to packets of DSR.
type Obstacle struct {
	Name string
	// Description is a sentence: what the network does.
	Description string
	// needs are what a topology must have.
	needs   []need
	install func(context.Context, *testbed.Testbed) error
	remove  func(context.Context, *testbed.Testbed) error
}

// Install makes the network do it. What fails may be there in part: Remove takes it away.
func (o *Obstacle) Install(ctx context.Context, tb *testbed.Testbed) error {
	if err := o.install(ctx, tb); err != nil {
		return fmt.Errorf("install obstacle %s: %w", o.Name, err)
	}
	return nil
}

// Remove takes Install back. It is no error if nothing was installed.
func (o *Obstacle) Remove(ctx context.Context, tb *testbed.Testbed) error {
	if err := o.remove(ctx, tb); err != nil {
		return fmt.Errorf("remove obstacle %s: %w", o.Name, err)
	}
	return nil
}

// Lookup returns the obstacle of a name.
func Lookup(name string) (*Obstacle, error) {
	for _, o := range All() {
		if o.Name == name {
			return &o, nil
		}
	}
	return nil, fmt.Errorf("unknown obstacle %q (want one of %s)", name, words.List(Names()))
}

// Names returns the names of all obstacles.
func Names() []string {
	var names []string
	for _, o := range All() {
		names = append(names, o.Name)
	}
	return names
}

// All returns all obstacles.
func All() []Obstacle {
	return slices.Concat(sourceObstacles(), pathObstacles(), sizeObstacles(), nodeObstacles())
}

// inFabric is a step that is done inside the fabric's namespace.
func inFabric(do func(*topologies.Plan) error) func(context.Context, *testbed.Testbed) error {
	return func(_ context.Context, tb *testbed.Testbed) error {
		return tb.Network().Do(netns.Fabric, func() error { return do(tb.Plan()) })
	}
}

// undrop takes drops back.
func undrop(name string) func(context.Context, *testbed.Testbed) error {
	return inFabric(func(*topologies.Plan) error { return rules.Undrop(name) })
}

// dropping is an obstacle that drops packets at ports of the fabric.
func dropping(name, description string, needs need, drops func(*topologies.Plan) []rules.Drop) Obstacle {
	return Obstacle{
		Name: name, Description: description, needs: []need{needs}, remove: undrop(name),
		install: inFabric(func(p *topologies.Plan) error { return rules.DropBridged(name, drops(p)) }),
	}
}

// sourceObstacles drop what comes from foreign sources.
func sourceObstacles() []Obstacle {
	return []Obstacle{
		dropping("source-check",
			"Each node's port drops what is not from, or not to, an address of the node, as a cloud's source and destination check does.",
			clusterNode(),
			func(p *topologies.Plan) []rules.Drop {
				var all []rules.Drop
				for _, n := range p.ClusterNodes() {
					all = append(all, rules.Drop{In: n.Port, NotFrom: single(n.Addrs())}, rules.Drop{Out: n.Port, NotTo: single(n.Addrs())})
				}
				return all
			}),
		dropping("port-security",
			"Each node's port lets in only frames with the node's own link-layer address and IP addresses, as OpenStack's and VMware's virtual switches do.",
			clusterNode(),
			func(p *topologies.Plan) []rules.Drop {
				var all []rules.Drop
				for _, n := range p.ClusterNodes() {
					all = append(all, rules.Drop{In: n.Port, NotFrom: single(n.Addrs())}, rules.Drop{In: n.Port, NotMAC: []byte(n.MAC)})
				}
				return all
			}),
		{
			Name: "urpf", needs: []need{routedClient()}, remove: undrop("urpf"),
			Description: "The router drops packets whose source it would not send back to where they came from (strict unicast reverse path forwarding).",
			install:     inFabric(func(p *topologies.Plan) error { return rules.DropRouted("urpf", reversePath(p)) }),
		},
	}
}

// reversePath drops what a router with strict reverse path forwarding does: of each node what comes neither from its network nor from
// its pods, nor from a VIP that is routed to it.
func reversePath(p *topologies.Plan) []rules.Drop {
	var all []rules.Drop
	for _, n := range p.ClusterNodes() {
		d := rules.Drop{MAC: []byte(n.MAC), NotFrom: slices.Clone(n.PodCIDRs)}
		for _, a := range n.Addresses {
			d.NotFrom = append(d.NotFrom, a.Masked())
		}
		for _, r := range p.FabricRoutes {
			if slices.ContainsFunc(n.Addrs(), func(a netip.Addr) bool { return slices.Contains(r.Via, a) }) {
				d.NotFrom = append(d.NotFrom, r.Destination)
			}
		}
		all = append(all, d)
	}
	return all
}

func single(addresses []netip.Addr) []netip.Prefix {
	var all []netip.Prefix
	for _, a := range addresses {
		all = append(all, netip.PrefixFrom(a, a.BitLen()))
	}
	return all
}

// betweenNodes drops packets that one node sends to another of its network.
func betweenNodes(p *topologies.Plan, what rules.Drop) []rules.Drop {
	var all []rules.Drop
	for _, from := range p.ClusterNodes() {
		for _, to := range p.ClusterNodes() {
			if from.Name != to.Name && from.Network == to.Network {
				d := what
				d.In, d.Out = from.Port, to.Port
				all = append(all, d)
			}
		}
	}
	return all
}
