package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/bgp"
	"github.com/dsrlab/dsrlab/dataplane/health"
	"github.com/dsrlab/dsrlab/dataplane/kube/network"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Options of an agent.
type Options struct {
	// Node is the name of the node that it runs on.
	Node   string
	Config Config
	// Events are Watch's or Follow's.
	Events <-chan Event
	// PinDir is the folder of the node's data path on a bpffs.
	PinDir string
	// Addresses of the node (default: those of the device).
	Addresses []netip.Addr
	Log       *slog.Logger
}

// resync is how often what the kernel may have changed by itself is looked at again: neighbours, routes that others removed.
const resync = 10 * time.Second

// Agent keeps a node's data path and pod network as the cluster's objects say.
type Agent struct {
	options Options
	device  *net.Interface
	path    *dataplane.DataPath
	cluster *Cluster
	checks  *health.Server
	// healthz is nil where nobody is to ask for the node's health.
	healthz *health.Proxy
	// speaker is nil where nothing is announced.
	speaker *bgp.Speaker
	synced  bool        // all objects have been told once
	applied atomic.Bool // and the data path holds what they say
	ending  atomic.Bool
	pods    []network.Pod
	network Network
	refused []services.Problem // by the data path
	told    []services.Problem
}

// New loads the node's data path, or replaces the programs of the one that is loaded already, whose tables it takes over: packets
// are forwarded as before until the cluster's objects are known. Call it, and Run, in the node's network namespace. Close gives
// back what it holds; the data path stays.
func New(o Options) (*Agent, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	name := o.Config.Device
	if name == "" {
		var err error
		if name, err = network.Device(); err != nil {
			return nil, err
		}
	}
	device, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", name, err)
	}
	if len(o.Addresses) == 0 {
		if o.Addresses, err = network.Addresses(name); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(o.PinDir), 0o700); err != nil {
		return nil, fmt.Errorf("make pin folder: %w", err)
	}
	a := &Agent{options: o, device: device, cluster: NewCluster(o.Config)}
	a.path, err = dataplane.Load(dataplane.Config{
		Addresses: o.Addresses, Device: name, PinDir: o.PinDir, MTU: device.MTU, Hook: o.Config.LoadBalancer.Hook,
		Sizes: o.Config.Sizes,
	})
	if err != nil {
		return nil, err
	}
	if notice := a.path.Notice(); notice != nil {
		o.Log.Warn("hook", "notice", notice)
	}
	if a.speaker, err = newSpeaker(o); err != nil {
		return nil, errors.Join(err, a.path.Close())
	}
	a.checks = health.New(o.Log, health.Options{Healthy: func() bool { return a.applied.Load() && !a.ending.Load() }})
	a.healthz = a.serveHealthz()
	return a, nil
}

// Close ends the agent's part. What is pinned forwards on.
func (a *Agent) Close() error {
	errs := []error{a.checks.Close(), a.path.Close()}
	if a.speaker != nil {
		errs = append(errs, a.speaker.Close())
	}
	if a.healthz != nil {
		errs = append(errs, a.healthz.Close())
	}
	return errors.Join(errs...)
}

// Synced reports whether the data path holds what the cluster's objects say.
func (a *Agent) Synced() bool { return a.applied.Load() }

// Run takes events until ctx ends; then it lets health checks fail for as long as the configuration says, so that load balancers
// in front send clients elsewhere, lets other nodes announce VIPs, and still takes events.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.refuseUnknown(); err != nil {
		return err
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	changes, err := network.Changes(watching)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(resync)
	defer ticker.Stop()
	done := ctx.Done()
	var drained <-chan time.Time
	for {
		select {
		case <-done:
			a.ending.Store(true)
			a.options.Log.Info("ending: health checks fail from now on", "for", a.options.Config.Drain())
			a.log(a.leave())
			done, drained = nil, time.After(a.options.Config.Drain())
		case <-drained:
			return nil
		case e := <-a.options.Events:
			a.log(a.take(e))
		case <-changes:
			a.log(a.lookAtPods())
		case <-ticker.C:
			a.log(a.applyAll())
		}
	}
}

// log says what went wrong; the next event or resync tries again.
func (a *Agent) log(err error) {
	if err != nil {
		a.options.Log.Error("sync", "error", err)
	}
}

// refuseUnknown keeps packets to addresses that no one has in the node, before anything is known of the cluster. An agent that ran
// before has left more routes than that, which stay.
func (a *Agent) refuseUnknown() error {
	if !a.options.Config.PodNetwork.Enabled {
		return nil
	}
	return network.Refuse(slices.Concat(a.options.Config.PodNetwork.CIDRs, a.options.Config.ServiceCIDRs))
}

// take takes an event and those that come right after it, and changes what follows.
func (a *Agent) take(e Event) error {
	timer := time.NewTimer(settle)
	defer timer.Stop()
	var changes []services.Change
	whole := false
	for more := true; more; {
		c, nodes := a.cluster.Take(e)
		whole = whole || nodes
		changes = append(changes, c...)
		if e.Synced && !a.synced {
			a.synced, whole = true, true
		}
		select {
		case e = <-a.options.Events:
		case <-timer.C:
			more = false
		}
	}
	if !a.synced {
		return nil // half of the objects would take from the data path what is right
	}
	if whole {
		return a.applyAll()
	}
	for _, change := range changes {
		result, err := a.path.Update(change.Service, change.Tables)
		if err != nil {
			return errors.Join(err, a.applyAll())
		}
		a.refused = result.Refused
	}
	if len(changes) == 0 {
		return nil
	}
	a.tellProblems()
	tables := a.cluster.Tables()
	return errors.Join(a.checks.Sync(tables, a.options.Node), a.announce(tables))
}

// lookAtPods applies all where a pod has come or gone, or has become known.
func (a *Agent) lookAtPods() error {
	pods, err := a.findPods()
	if err != nil || slices.EqualFunc(pods, a.pods, equalPods) {
		return err
	}
	return a.applyAll()
}

func equalPods(x, y network.Pod) bool {
	return x.Address == y.Address && x.Index == y.Index && slices.Equal(x.MAC, y.MAC) && slices.Equal(x.DeviceMAC, y.DeviceMAC)
}

func (a *Agent) findPods() ([]network.Pod, error) {
	var inside []netip.Prefix
	for _, p := range a.cluster.Peers() {
		if p.Name == a.options.Node {
			inside = p.PodCIDRs
		}
	}
	return network.Pods(inside)
}

// applyAll makes data path, pod network and health checks what the cluster's objects say.
func (a *Agent) applyAll() error {
	if !a.synced {
		return nil
	}
	errs := []error{a.reserve()}
	tables := a.cluster.Tables()
	errs = append(errs, a.applyNetwork())
	state, err := a.state(tables)
	errs = append(errs, err)
	if err == nil {
		var result dataplane.Result
		result, err = a.path.Apply(state)
		errs = append(errs, err)
		a.applied.Store(a.applied.Load() || err == nil)
		a.refused = result.Refused
	}
	a.tellProblems()
	return errors.Join(append(errs, a.checks.Sync(tables, a.options.Node), a.announce(tables))...)
}

// state is what the data path is to know, as far as the kernel knows pods and nodes.
func (a *Agent) state(tables *services.Tables) (dataplane.State, error) {
	state := dataplane.State{Node: a.options.Node, Tables: tables}
	for _, p := range a.cluster.Peers() {
		node := dataplane.Node{Name: p.Name, PodCIDRs: p.PodCIDRs}
		for _, address := range p.Addresses {
			next := dataplane.NodeAddress{Address: address}
			if p.Name != a.options.Node {
				mac, err := network.Neighbour(address, a.device.Index)
				if err != nil {
					a.options.Log.Debug("next hop", "node", p.Name, "error", err) // in another network: the kernel routes
				}
				next.NextHop = mac
			}
			node.Addresses = append(node.Addresses, next)
		}
		state.Nodes = append(state.Nodes, node)
	}
	pods, err := a.findPods()
	if err != nil {
		return state, err
	}
	a.pods = pods
	if err := a.path.ForgetGone(); err != nil {
		return state, err
	}
	for _, p := range pods {
		if p.MAC == nil {
			continue // a change of the neighbour tells
		}
		for _, direction := range []dataplane.Direction{dataplane.FromPod, dataplane.ToPod} {
			if err := a.path.Attach(p.Device, direction, dataplane.AttachAuto); err != nil {
				return state, err
			}
		}
		state.Pods = append(state.Pods, dataplane.Pod{Addresses: []netip.Addr{p.Address}, Device: p.Index, MAC: p.MAC, NodeMAC: p.DeviceMAC})
	}
	return state, nil
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
	errs := []error{network.SyncRoutes(a.device.Name, routes)}
	if !slices.Equal(want.Masquerade, a.network.Masquerade) || !slices.Equal(want.Inside, a.network.Inside) {
		errs = append(errs, network.Masquerade(want.Masquerade, want.Inside))
	}
	errs = append(errs, network.WriteCNI(config.PodNetwork.CNIConfDir, want.CNI)) // last: pods start with it
	err := errors.Join(errs...)
	if err == nil {
		a.network = want
	}
	return err
}

// tellProblems logs what is new among them.
func (a *Agent) tellProblems() {
	problems := slices.Concat(a.cluster.Problems(), a.refused)
	for _, p := range problems {
		if !slices.Contains(a.told, p) {
			a.options.Log.Warn("object", "problem", p.Error())
		}
	}
	a.told = problems
}
