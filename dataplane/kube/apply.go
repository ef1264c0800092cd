package kube

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/kube/network"
)

// applyAll makes data path, pod network and health checks what the cluster's objects and the kernel's tables say. What fails of it,
// or is refused, keeps nothing else from being applied.
func (a *Agent) applyAll(seen surroundings) error {
	if !a.synced {
		return nil
	}
	a.cluster.SetReserved(seen.reserved)
	tables := a.cluster.Tables()
	errs := []error{a.applyNetwork(), a.path.ForgetGone()}
	pods, err := a.attachPods(seen.pods)
	errs = append(errs, err)
	state := dataplane.State{
		Node: a.options.Node, Nodes: nodesOf(a.cluster.Peers(), seen.hops), Pods: pods, Tables: tables, Precedence: a.objects.olderFirst,
	}
	result, err := a.path.Apply(state)
	a.status.applied(err)
	if err == nil {
		a.refused = result.Refused
		a.seen = &seen
	}
	a.report()
	return errors.Join(append(errs, err, a.checks.Sync(tables, a.options.Node), a.announce(tables))...)
}

// nodesOf are peers as the data path wants them.
func nodesOf(peers []Peer, hops map[netip.Addr]hop) []dataplane.Node {
	var nodes []dataplane.Node
	for _, p := range peers {
		node := dataplane.Node{Name: p.Name, PodCIDRs: p.PodCIDRs}
		for _, address := range p.Addresses {
			node.Addresses = append(node.Addresses, dataplane.NodeAddress{Address: address, NextHop: hops[address].MAC})
		}
		nodes = append(nodes, node)
	}
	return nodes
}

// attachPods attaches the programs of pods whose MAC address is known; for the others a change of the neighbour comes. A pod that has
// gone since it was found is left out.
func (a *Agent) attachPods(found []network.Pod) ([]dataplane.Pod, error) {
	var pods []dataplane.Pod
	var errs []error
	for _, p := range found {
		if p.MAC == nil {
			continue
		}
		err := a.path.AttachPod(p.Device)
		switch {
		case err == nil:
			pods = append(pods, dataplane.Pod{Addresses: []netip.Addr{p.Address}, Device: p.Index, MAC: p.MAC, NodeMAC: p.DeviceMAC})
		case network.HasDevice(p.Device, p.Index):
			errs = append(errs, err)
		default:
			a.options.Log.Debug("pod has gone", "address", p.Address, "device", p.Device)
		}
	}
	return pods, errors.Join(errs...)
}

// applyNetwork does nothing where the agent is not asked to make the pods' network.
func (a *Agent) applyNetwork() error {
	config := a.options.Config
	if !config.PodNetwork.Enabled {
		return nil
	}
	want := NetworkOf(a.options.Node, a.cluster.Peers(), config)
	var routes []network.Route
	for _, p := range want.Unreachable {
		routes = append(routes, network.Route{To: p})
	}
	for _, p := range config.ServiceCIDRs {
		routes = append(routes, network.Route{To: p, Service: true})
	}
	for _, r := range want.Routes {
		routes = append(routes, network.Route{To: r.To, Via: r.Via})
	}
	errs := []error{network.SyncRoutes(a.device, routes)}
	changed := !slices.Equal(want.Masquerade, a.network.Masquerade) || !slices.Equal(want.Inside, a.network.Inside)
	if changed || !network.IsMasqueraded(want.Masquerade, want.Inside) {
		errs = append(errs, network.Masquerade(want.Masquerade, want.Inside))
	}
	errs = append(errs, network.WriteCNI(config.PodNetwork.CNIConfDir, want.CNI)) // last: pods start with it
	err := errors.Join(errs...)
	if err == nil {
		a.network = want
	}
	return err
}
