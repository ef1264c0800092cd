package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// Edge is the kind of load balancer or router in front of the LB nodes.
type Edge string

const (
	// EdgeNone: the fabric itself spreads flows over the LB nodes (equal-cost multipath).
	EdgeNone Edge = ""
	// EdgeStateless: the node of role nlb spreads flows over the LB nodes and leaves packets unchanged.
	EdgeStateless Edge = "nlb-stateless"
	// EdgeStateful: the node of role nlb translates VIP and port to an LB node's NodePort, and expects the answers. It keeps
	// the client's address.
	EdgeStateful Edge = "nlb-stateful"
	// EdgeBGP: the node of role router spreads flows over the LB nodes that announce the VIP to it.
	EdgeBGP Edge = "bgp"
	// EdgeBird is EdgeBGP with BIRD as the router's daemon.
	EdgeBird Edge = "bgp-bird"
)

// Edges returns all edges.
func Edges() []Edge { return []Edge{EdgeNone, EdgeStateless, EdgeStateful, EdgeBGP, EdgeBird} }

// Validate returns an error for an unknown edge.
func (e Edge) Validate() error {
	if !slices.Contains(Edges(), e) {
		return fmt.Errorf("edge: unknown edge %q (want one of %s)", e, words.List(Edges()))
	}
	return nil
}

// String returns the name of the edge; none for EdgeNone.
func (e Edge) String() string {
	if e == EdgeNone {
		return "none"
	}
	return string(e)
}

// role is that of the node in front of the LB nodes; empty if there is none.
func (e Edge) role() topologies.Role {
	switch e {
	case EdgeStateless, EdgeStateful:
		return topologies.RoleNLB
	case EdgeBGP, EdgeBird:
		return topologies.RoleRouter
	}
	return ""
}

// Numbers of the fabric's own: what a mark means, and where it leads, is up to each namespace.
const (
	returnMark     = 0x4e4c42 // "NLB"
	returnTable    = 1001
	returnPriority = 1000
)

// edgeFile holds the name of a testbed's edge.
const edgeFile = "edge"

// SetEdge replaces the edge; EdgeNone restores the fabric as it was built. With EdgeBGP and EdgeBird
// it returns when all LB nodes have announced all VIPs. If it fails the edge is EdgeNone.
func (tb *Testbed) SetEdge(ctx context.Context, e Edge) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if err := tb.clearEdge(ctx); err != nil {
		return fmt.Errorf("set edge %s: %w", e, err)
	}
	if e == EdgeNone {
		return nil
	}
	err := tb.makeEdge(ctx, e)
	if err == nil {
		err = os.WriteFile(filepath.Join(tb.network.Dir(), edgeFile), []byte(e), 0o600)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("set edge %s: %w", e, err), tb.clearEdge(context.WithoutCancel(ctx)))
	}
	return nil
}

// Edge returns the edge that SetEdge has set, in this process or another.
func (tb *Testbed) Edge() (Edge, error) {
	name, err := os.ReadFile(filepath.Join(tb.network.Dir(), edgeFile))
	if errors.Is(err, os.ErrNotExist) {
		return EdgeNone, nil
	}
	if err != nil {
		return EdgeNone, fmt.Errorf("read edge: %w", err)
	}
	return Edge(name), nil
}

// EdgeNode is the node that an edge needs; nil for EdgeNone.
func (tb *Testbed) EdgeNode(e Edge) (*topologies.Node, error) {
	if e.role() == "" {
		return nil, nil
	}
	i := slices.IndexFunc(tb.plan.Nodes, func(n topologies.Node) bool { return n.Role == e.role() })
	if i < 0 {
		return nil, fmt.Errorf("%s has no node of role %s", tb.plan.Name, e.role())
	}
	node := &tb.plan.Nodes[i]
	for _, lb := range tb.LBNodes() {
		if lb.Network != node.Network {
			return nil, fmt.Errorf("%s is in network %s, and %s in %s: an edge and the LB nodes need to be in one", node.Name, node.Network, lb.Name, lb.Network)
		}
	}
	return node, nil
}

func (tb *Testbed) makeEdge(ctx context.Context, e Edge) error {
	node, err := tb.EdgeNode(e)
	if err != nil {
		return err
	}
	switch e {
	case EdgeStateless:
		err = tb.network.Do(node.Name, func() error { return replaceRoutes(tb.vipRoutes()) })
	case EdgeStateful:
		err = tb.makeNAT(node)
	case EdgeBGP, EdgeBird:
		err = tb.startBGP(ctx, e, node)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", node.Name, err)
	}
	return tb.network.Do(netns.Fabric, func() error { return replaceRoutes(tb.vipRoutesVia(node)) })
}

// clearEdge removes the edge, including one that was only partly made.
func (tb *Testbed) clearEdge(ctx context.Context) error {
	errs := []error{tb.network.Do(netns.Fabric, func() error {
		return errors.Join(replaceRoutes(tb.vipRoutes()), removeReturn(), edge.Remove())
	})}
	for _, n := range tb.plan.Nodes {
		switch n.Role {
		case topologies.RoleNLB:
			errs = append(errs, tb.network.Do(n.Name, func() error { return errors.Join(tb.removeVIPRoutes(), edge.Remove(), edge.Forget()) }))
		case topologies.RoleRouter:
			errs = append(errs, tb.stopBGP(ctx, n.Name), tb.network.Do(n.Name, tb.removeVIPRoutes))
		}
	}
	if err := os.Remove(filepath.Join(tb.network.Dir(), edgeFile)); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// makeNAT makes the node translate addresses, and the fabric route the LB nodes' replies back to it.
func (tb *Testbed) makeNAT(node *topologies.Node) error {
	tables, err := tb.Tables(Variant{DataPath: DataPathDSRLab, Mode: services.ModeDSR}) // addresses and ports are the same in every variant
	if err != nil {
		return err
	}
	if err := tb.network.Do(node.Name, func() error { return edge.NAT(tb.listeners(tables)) }); err != nil {
		return err
	}
	return tb.network.Do(netns.Fabric, func() error {
		return errors.Join(edge.Return(tb.senders(tables), returnMark), addReturn(node.Addrs()))
	})
}

// listeners are the ports of all VIPs, with the NodePorts of the same service's port on all LB nodes.
func (tb *Testbed) listeners(tables *services.Tables) []edge.Listener {
	var all []edge.Listener
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		if f.Kind != services.KindLoadBalancer {
			continue
		}
		l := edge.Listener{Address: f.AddrPort(), Protocol: f.Protocol}
		for j := range tables.Frontends {
			to := &tables.Frontends[j]
			same := to.Service == f.Service && to.PortName == f.PortName && to.Protocol == f.Protocol && to.Address.Is4() == f.Address.Is4()
			if to.Kind == services.KindNodePort && same && tb.isLBNode(to.Node) {
				l.Targets = append(l.Targets, to.AddrPort())
			}
		}
		all = append(all, l)
	}
	return all
}

// senders are the LB nodes, with their NodePorts.
func (tb *Testbed) senders(tables *services.Tables) []edge.Sender {
	ports := make(map[netip.Addr][]edge.SenderPort)
	for i := range tables.Frontends {
		if f := &tables.Frontends[i]; f.Kind == services.KindNodePort {
			ports[f.Address] = append(ports[f.Address], edge.SenderPort{Protocol: f.Protocol, Port: f.Port})
		}
	}
	var all []edge.Sender
	for _, n := range tb.LBNodes() {
		for _, a := range n.Addrs() {
			all = append(all, edge.Sender{Device: n.Port, Address: a, Ports: ports[a]})
		}
	}
	return all
}

func (tb *Testbed) isLBNode(name string) bool {
	return slices.ContainsFunc(tb.LBNodes(), func(n topologies.Node) bool { return n.Name == name })
}
