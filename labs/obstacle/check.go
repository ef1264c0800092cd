package obstacle

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/topologies"
)

// need is what a topology must have, so that an obstacle does anything there.
type need struct {
	// what names it, with its article: "a node of role nlb".
	what string
	met  func(*topologies.Plan) bool
}

// hasAll is a topology of the catalogue that has all that obstacles need.
const hasAll = "would-it-work"

// Check returns an error for obstacles that a plan's network can't have, or that would do nothing there.
func Check(p *topologies.Plan, names ...string) error {
	var errs []error
	if len(names) > 0 && p.Substrate == topologies.SubstrateKindK {
		errs = append(errs, fmt.Errorf("found substrate %s (want %s: obstacles are inside its namespaces)", p.Substrate, topologies.SubstrateNetns))
	}
	for _, name := range names {
		o, err := Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, n := range o.needs {
			if !n.met(p) {
				errs = append(errs, fmt.Errorf("obstacle %s would do nothing: topology %s lacks %s (want a topology such as %s)", name, p.Name, n.what, hasAll))
			}
		}
	}
	return errors.Join(errs...)
}

// ofRole needs a node of a role.
func ofRole(role topologies.Role) need {
	return need{fmt.Sprintf("a node of role %s", role), func(p *topologies.Plan) bool { return len(p.NodesOf(role)) > 0 }}
}

func clusterNode() need {
	return need{"an LB or pod node", func(p *topologies.Plan) bool { return len(p.ClusterNodes()) > 0 }}
}

func clusterNodes() need {
	return need{"two LB or pod nodes", func(p *topologies.Plan) bool { return len(p.ClusterNodes()) > 1 }}
}

// neighbours need nodes that send each other packets through nothing but a bridge.
func neighbours() need {
	return need{"two LB or pod nodes in one network", func(p *topologies.Plan) bool {
		all := p.ClusterNodes()
		for i := range all {
			if slices.ContainsFunc(all[:i], func(n topologies.Node) bool { return n.Network == all[i].Network }) {
				return true
			}
		}
		return false
	}}
}

// routedClient needs a client to which a node's packets are routed: what is bridged is not seen by the router.
func routedClient() need {
	return need{"a client in another network than an LB or pod node", func(p *topologies.Plan) bool {
		return slices.ContainsFunc(p.NodesOf(topologies.RoleClient), func(c topologies.Node) bool {
			return slices.ContainsFunc(p.ClusterNodes(), func(n topologies.Node) bool { return n.Network != c.Network })
		})
	}}
}

// clientApart needs a device of the fabric that only clients are behind.
func clientApart() need {
	return need{"a client in a network that only clients are in", func(p *topologies.Plan) bool {
		return slices.ContainsFunc(p.NodesOf(topologies.RoleClient), func(c topologies.Node) bool {
			return !slices.ContainsFunc(p.Nodes, func(n topologies.Node) bool { return n.Network == c.Network && n.Role != topologies.RoleClient })
		})
	}}
}

// ipv4Client needs a client and a node with IPv4 addresses: IPv6 has no reverse path filter.
func ipv4Client() need {
	return need{"a client and an LB or pod node with IPv4 addresses", func(p *topologies.Plan) bool {
		ipv4 := func(n topologies.Node) bool {
			return slices.ContainsFunc(n.Addrs(), netip.Addr.Is4)
		}
		return slices.ContainsFunc(p.NodesOf(topologies.RoleClient), ipv4) && slices.ContainsFunc(p.ClusterNodes(), ipv4)
	}}
}
