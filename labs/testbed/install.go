package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/baseline"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/topologies"
)

// Install replaces the data path on all nodes by the variant's. Flows of the one before are forgotten, so that no variant profits
// from another.
func (tb *Testbed) Install(ctx context.Context, v Variant) error {
	if err := tb.platform().check(v); err != nil {
		return fmt.Errorf("install %s: %w", v.Name, err)
	}
	if err := tb.Uninstall(ctx); err != nil {
		return fmt.Errorf("install %s: %w", v.Name, err)
	}
	tables, err := tb.Tables(v)
	if err != nil {
		return fmt.Errorf("install %s: %w", v.Name, err)
	}
	err = tb.installVariant(ctx, v, tables)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx) // it came too late for another node
	}
	if err != nil {
		return errors.Join(fmt.Errorf("install %s: %w", v.Name, err), tb.Uninstall(context.WithoutCancel(ctx)))
	}
	return nil
}

func (tb *Testbed) installVariant(ctx context.Context, v Variant, tables *services.Tables) error {
	switch v.DataPath {
	case DataPathNone:
		return nil
	case DataPathDSRLab:
		return tb.platform().install(ctx, v, tables)
	case DataPathKubeProxy, DataPathDNATOnly:
		return tb.setBaseline(ctx, v, tables)
	}
	return fmt.Errorf("unknown data path %q (want none, kube-proxy, dnat-only or dsrlab)", v.DataPath)
}

// Reinstall puts the variant's data path on one node, new and empty, as after a reboot.
func (tb *Testbed) Reinstall(ctx context.Context, n topologies.Node, v Variant) error {
	tables, err := tb.Tables(v)
	if err != nil {
		return err
	}
	return tb.platform().reinstall(ctx, n, v, tables)
}

// setBaseline replaces the rules on all nodes by those of kube-proxy, or by DNAT alone.
func (tb *Testbed) setBaseline(ctx context.Context, v Variant, tables *services.Tables) error {
	err := tb.onClusterNodes(ctx, func(n topologies.Node) error { return tb.installBaseline(ctx, n, v, tables) })
	if err != nil {
		return err
	}
	return tb.tellAgents(tables)
}

// onClusterNodes calls do for all LB and pod nodes, for as many at a time as there are processors: most of an installation is the
// kernel's verification of programs. It returns all errors; when ctx ends, the nodes that are left are not begun, and this is one.
func (tb *Testbed) onClusterNodes(ctx context.Context, do func(topologies.Node) error) error {
	nodes := tb.ClusterNodes()
	errs := make([]error, len(nodes))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, n := range nodes {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := do(n); err != nil {
				errs[i] = fmt.Errorf("on %s: %w", n.Name, err)
			}
			return nil
		})
	}
	ended := group.Wait()
	return errors.Join(append(errs, ended)...)
}

// load loads our programs on a node and fills their tables.
func (tb *Testbed) load(n topologies.Node, v Variant, tables *services.Tables) error {
	dir, err := tb.network.BPFDir(n.Name)
	if err != nil {
		return err
	}
	if v.Hook == dataplane.HookXDP {
		if err := tb.prepareXDP(n); err != nil {
			return err
		}
	}
	return tb.network.Do(n.Name, func() error {
		d, err := dataplane.Load(dataplane.Config{
			Addresses: n.Addrs(), Device: "eth0", PinDir: dir, MTU: tb.plan.MTUOf(&n), Hook: v.Hook, Fault: v.Fault,
			PreciseEvents: true,
		})
		if err != nil {
			return err
		}
		defer d.Close()
		if notice := d.Notice(); notice != nil {
			tb.log.Warn("the data path is loaded, but not all is as it should be", "node", n.Name, "reason", notice)
		}
		for _, p := range tb.plan.Pods {
			if p.Node != n.Name {
				continue
			}
			if err := d.AttachPod(p.HostDevice); err != nil {
				return err
			}
		}
		return tb.apply(d, n, tables)
	})
}

// apply fills a node's tables. Call it in the node's network namespace.
func (tb *Testbed) apply(d *dataplane.DataPath, n topologies.Node, tables *services.Tables) error {
	state := dataplane.State{Node: n.Name, Nodes: tb.reachedFrom(n), Tables: tables}
	for _, p := range tb.plan.Pods {
		if p.Node != n.Name {
			continue
		}
		device, err := net.InterfaceByName(p.HostDevice)
		if err != nil {
			return fmt.Errorf("pod %s: device %s: %w", p.Name, p.HostDevice, err)
		}
		state.Pods = append(state.Pods, dataplane.Pod{
			Addresses: p.Addresses, Device: device.Index, MAC: net.HardwareAddr(p.MAC), NodeMAC: net.HardwareAddr(p.HostMAC),
		})
	}
	result, err := d.Apply(state)
	return errors.Join(err, result.Err())
}

// reachedFrom are all LB and pod nodes, with the MAC addresses that lead to them: their own, or that of the gateway.
func (tb *Testbed) reachedFrom(n topologies.Node) []dataplane.Node {
	var all []dataplane.Node
	for _, other := range tb.ClusterNodes() {
		mac := other.MAC
		if other.Network != n.Network {
			mac = tb.plan.NetworkOf(&n).MAC
		}
		node := dataplane.Node{Name: other.Name, PodCIDRs: other.PodCIDRs}
		for _, a := range other.Addrs() {
			node.Addresses = append(node.Addresses, dataplane.NodeAddress{Address: a, NextHop: net.HardwareAddr(mac)})
		}
		all = append(all, node)
	}
	return all
}

func (tb *Testbed) installBaseline(ctx context.Context, n topologies.Node, v Variant, tables *services.Tables) error {
	ns, err := tb.network.NetNS(n.Name)
	if err != nil {
		return err
	}
	defer ns.Close()
	form := baseline.FormKubeProxy
	if v.DataPath == DataPathDNATOnly {
		form = baseline.FormDNATOnly
	}
	return baseline.Install(ctx, int(ns.Fd()), baseline.Config{
		Form: form, Tables: tables, Node: n.Name, NodeAddresses: []netip.Addr{n.Addresses[0].Addr()},
	})
}

// Uninstall removes every data path from all nodes; plain routing stays.
func (tb *Testbed) Uninstall(ctx context.Context) error {
	err := errors.Join(tb.tellAgents(nil), tb.platform().uninstall(ctx), tb.onClusterNodes(ctx, func(n topologies.Node) error {
		return errors.Join(tb.removeBaseline(ctx, n.Name), tb.restoreWire(n))
	}))
	if err != nil {
		return fmt.Errorf("remove the data path: %w", err)
	}
	return nil
}

func (tb *Testbed) removeBaseline(ctx context.Context, node string) error {
	ns, err := tb.network.NetNS(node)
	if err != nil {
		return err
	}
	defer ns.Close()
	return baseline.Remove(ctx, int(ns.Fd()))
}
