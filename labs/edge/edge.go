// Package edge is what a network does in front of a testbed's LB nodes and at their ports: a network load balancer or a router that
// spreads flows over them, BGP sessions, spoof protection, LB nodes that fail and come back; and what a client sees of all that.
package edge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/edge/rules"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// roleOf is the role of the node in front of the LB nodes; empty if there is none.
func roleOf(e testbed.Edge) topologies.Role {
	switch e {
	case testbed.EdgeStateless, testbed.EdgeStateful:
		return topologies.RoleNLB
	case testbed.EdgeBGP, testbed.EdgeBird:
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

// edgeFile holds the name of a testbed's rules.
const edgeFile = "edge"

// Set replaces the edge; testbed.EdgeNone restores the fabric as it was built. With testbed.EdgeBGP and testbed.EdgeBird
// it returns when all LB nodes have announced all VIPs. If it fails the edge is testbed.EdgeNone.
func Set(ctx context.Context, tb *testbed.Testbed, e testbed.Edge) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if err := remove(ctx, tb); err != nil {
		return fmt.Errorf("set edge %s: %w", e, err)
	}
	if e == testbed.EdgeNone {
		return nil
	}
	err := build(ctx, tb, e)
	if err == nil {
		err = os.WriteFile(filepath.Join(tb.Network().Dir(), edgeFile), []byte(e), 0o600)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("set edge %s: %w", e, err), remove(context.WithoutCancel(ctx), tb))
	}
	return nil
}

// Of returns the edge that Set has set, in this process or another.
func Of(tb *testbed.Testbed) (testbed.Edge, error) {
	name, err := os.ReadFile(filepath.Join(tb.Network().Dir(), edgeFile))
	if errors.Is(err, os.ErrNotExist) {
		return testbed.EdgeNone, nil
	}
	if err != nil {
		return testbed.EdgeNone, fmt.Errorf("read edge: %w", err)
	}
	return testbed.Edge(name), nil
}

// Node is the node that an edge needs; nil for testbed.EdgeNone.
func Node(tb *testbed.Testbed, e testbed.Edge) (*topologies.Node, error) {
	if roleOf(e) == "" {
		return nil, nil
	}
	i := slices.IndexFunc(tb.Plan().Nodes, func(n topologies.Node) bool { return n.Role == roleOf(e) })
	if i < 0 {
		return nil, fmt.Errorf("%s has no node of role %s", tb.Plan().Name, roleOf(e))
	}
	node := &tb.Plan().Nodes[i]
	for _, lb := range tb.LBNodes() {
		if lb.Network != node.Network {
			return nil, fmt.Errorf("%s is in network %s, and %s in %s: an edge and the LB nodes need to be in one", node.Name, node.Network, lb.Name, lb.Network)
		}
	}
	return node, nil
}

func build(ctx context.Context, tb *testbed.Testbed, e testbed.Edge) error {
	node, err := Node(tb, e)
	if err != nil {
		return err
	}
	switch e {
	case testbed.EdgeStateless:
		err = tb.Network().Do(node.Name, func() error { return replaceRoutes(vipRoutes(tb)) })
	case testbed.EdgeStateful:
		err = makeNAT(tb, node)
	case testbed.EdgeBGP, testbed.EdgeBird:
		err = startBGP(ctx, tb, e, node)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", node.Name, err)
	}
	return tb.Network().Do(netns.Fabric, func() error { return replaceRoutes(vipRoutesVia(tb, node)) })
}

// remove removes the edge, including one that was only partly made.
func remove(ctx context.Context, tb *testbed.Testbed) error {
	errs := []error{tb.Network().Do(netns.Fabric, func() error {
		return errors.Join(replaceRoutes(vipRoutes(tb)), removeReturn(), rules.Remove())
	})}
	for _, n := range tb.Plan().Nodes {
		switch n.Role {
		case topologies.RoleNLB:
			errs = append(errs, tb.Network().Do(n.Name, func() error { return errors.Join(removeVIPRoutes(tb), rules.Remove(), rules.Forget()) }))
		case topologies.RoleRouter:
			errs = append(errs, stopBGP(ctx, tb, n.Name), tb.Network().Do(n.Name, func() error { return removeVIPRoutes(tb) }))
		}
	}
	if err := os.Remove(filepath.Join(tb.Network().Dir(), edgeFile)); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// makeNAT makes the node translate addresses, and the fabric route the LB nodes' replies back to it.
func makeNAT(tb *testbed.Testbed, node *topologies.Node) error {
	tables, err := tb.Tables(testbed.Variant{DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR}) // addresses and ports are the same in every variant
	if err != nil {
		return err
	}
	if err := tb.Network().Do(node.Name, func() error { return rules.NAT(listeners(tb, tables)) }); err != nil {
		return err
	}
	return tb.Network().Do(netns.Fabric, func() error {
		return errors.Join(rules.Return(senders(tb, tables), returnMark), addReturn(node.Addrs()))
	})
}

// listeners are the ports of all VIPs, with the NodePorts of the same service's port on all LB nodes.
func listeners(tb *testbed.Testbed, tables *services.Tables) []rules.Listener {
	var all []rules.Listener
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		if f.Kind != services.KindLoadBalancer {
			continue
		}
		l := rules.Listener{Address: f.AddrPort(), Protocol: f.Protocol}
		for j := range tables.Frontends {
			to := &tables.Frontends[j]
			same := to.Service == f.Service && to.PortName == f.PortName && to.Protocol == f.Protocol && to.Address.Is4() == f.Address.Is4()
			if to.Kind == services.KindNodePort && same && isLBNode(tb, to.Node) {
				l.Targets = append(l.Targets, to.AddrPort())
			}
		}
		all = append(all, l)
	}
	return all
}

// senders are the LB nodes, with their NodePorts.
func senders(tb *testbed.Testbed, tables *services.Tables) []rules.Sender {
	ports := make(map[netip.Addr][]rules.SenderPort)
	for i := range tables.Frontends {
		if f := &tables.Frontends[i]; f.Kind == services.KindNodePort {
			ports[f.Address] = append(ports[f.Address], rules.SenderPort{Protocol: f.Protocol, Port: f.Port})
		}
	}
	var all []rules.Sender
	for _, n := range tb.LBNodes() {
		for _, a := range n.Addrs() {
			all = append(all, rules.Sender{Device: n.Port, Address: a, Ports: ports[a]})
		}
	}
	return all
}

func isLBNode(tb *testbed.Testbed, name string) bool {
	return slices.ContainsFunc(tb.LBNodes(), func(n topologies.Node) bool { return n.Name == name })
}
