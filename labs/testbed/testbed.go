// Package testbed builds a topology with its workload and puts a data path on its nodes. Substrate and data path don't
// know of each other and meet here. What its data path does with packets is in package observe.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/kind"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// Testbed is a running network with its workload serving and a data path on its nodes.
type Testbed struct {
	network *netns.Network
	plan    *topologies.Plan
	log     *slog.Logger
	// labPod is the workload binary; empty: the one beside this program.
	labPod string
	// cluster is the way to a kind cluster's API server, once it was needed; see onKind.kubernetes.
	cluster *kind.Cluster
	ports   *workload.Ports // see Dialer
}

// Options say where and how a topology is built.
type Options struct {
	StateDir string // default netns.DefaultStateDir
	Name     string // default the topology's
	Recreate bool   // take down what runs under this name
	// Lock is the testbed's, held by the caller until it is done with the testbed. Default: Up alone holds it, and whoever comes next may
	// remove the testbed.
	Lock *netns.Lock
	Keep bool // leave a partially built testbed in place for inspection
	// NodeImage is the image of a kind cluster's nodes (default kind.DefaultImage).
	NodeImage string
	// LabPod is the workload binary (default: labpod beside this program).
	LabPod string
	// Agent is the node agent (default: dsrd beside this program). It runs where a service has health checks.
	Agent string
	Log   *slog.Logger
	// OnStep is called with each step of the building.
	OnStep func(step string)
}

// Up builds the topology and starts its workload. Nodes route; Install puts a data path on them. If it fails nothing is left.
// existing reports that the testbed was running already, and nothing was done.
func Up(ctx context.Context, plan *topologies.Plan, o Options) (tb *Testbed, existing bool, err error) {
	labPod, err := findProgram(o.LabPod, "labpod", "the workload binary")
	if err != nil {
		return nil, false, err
	}
	agent := ""
	if needsAgents(plan) {
		if agent, err = findProgram(o.Agent, "dsrd", "the node agent"); err != nil {
			return nil, false, err
		}
	}
	lab, err := netns.Up(ctx, plan, netns.Options{
		StateDir: o.StateDir, Name: o.Name, Recreate: o.Recreate, Keep: o.Keep, Lock: o.Lock, Log: o.Log, OnStep: o.OnStep,
		Provider: makerOf(o, labPod),
	})
	if err != nil {
		return nil, false, err
	}
	tb = &Testbed{network: lab, plan: lab.Plan(), log: o.Log, labPod: labPod, ports: workload.NewPorts()}
	if lab.Existing() {
		return tb, true, nil
	}
	err = tb.startWorkload(ctx, labPod, o.OnStep)
	if err == nil && agent != "" {
		err = tb.startAgents(ctx, agent)
	}
	if err != nil && !o.Keep {
		err = errors.Join(err, tb.Down(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return nil, false, err
	}
	return tb, false, nil
}

// Attach returns a testbed that is running.
func Attach(stateDir, name string) (*Testbed, error) {
	lab, err := netns.Open(stateDir, name)
	if err != nil {
		return nil, err
	}
	return &Testbed{network: lab, plan: lab.Plan(), log: slog.New(slog.DiscardHandler), ports: workload.NewPorts()}, nil
}

// Down removes the testbed. If Up was given its lock, that must still be held.
func (tb *Testbed) Down(ctx context.Context) error { return tb.network.Down(ctx, &kind.Provider{}) }

// Down removes a testbed, in whatever state it is and without its topology file. If another process uses it the error is a
// *lockfile.HeldError, or Down waits.
func Down(ctx context.Context, stateDir, name string, waiting lockfile.Waiting) error {
	return netns.DownWaiting(ctx, stateDir, name, &kind.Provider{}, waiting)
}

func (tb *Testbed) platform() platform { return platformOf(tb) }

// Plan is what was built.
func (tb *Testbed) Plan() *topologies.Plan { return tb.plan }

// Network is the substrate's side of the testbed.
func (tb *Testbed) Network() *netns.Network { return tb.network }

// Enter is the way into a node's, pod's or the fabric's network for the workload package.
func (tb *Testbed) Enter(place string) workload.Enter {
	return func(f func() error) error { return tb.network.Do(place, f) }
}

// Dialer makes the sockets of a client in a namespace, each with a source port of its own: all of a testbed take them from one sequence.
// The kernel's own choice is random: of 50 calls after 50 others one takes a port again in 1 of 12 times, and a client's address and
// port that reaches one pod through two frontends within a flow's lifetime is dropped as a collision.
func (tb *Testbed) Dialer(place string) workload.Dialer {
	return workload.Dialer{Enter: tb.Enter(place), Ports: tb.ports}
}

// ClusterNodes are the LB and pod nodes.
func (tb *Testbed) ClusterNodes() []topologies.Node { return tb.plan.ClusterNodes() }

// LBNodes are where VIPs are routed to.
func (tb *Testbed) LBNodes() []topologies.Node { return tb.plan.LBNodes() }

// Tables are the frontends and backends of the topology's services, as a variant has them.
func (tb *Testbed) Tables(v Variant) (*services.Tables, error) {
	state := services.State{Services: v.services(tb.plan.Services), EndpointSlices: v.endpoints(tb.plan.EndpointSlices)}
	for _, n := range tb.ClusterNodes() {
		state.Nodes = append(state.Nodes, services.Node{Name: n.Name, Addresses: n.Addrs(), PodCIDRs: n.PodCIDRs, Zone: n.Labels[corev1.LabelTopologyZone]})
	}
	tables, problems := services.Build(state, services.Options{Mode: v.Mode, ExternalIPs: everywhere()})
	var errs []error
	for _, p := range problems {
		errs = append(errs, p)
	}
	return tables, errors.Join(errs...)
}

// everywhere lets services have any externalIPs: a topology's author is its operator.
func everywhere() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
}

// Target is where a client of the variant sends to.
func (tb *Testbed) Target(t Target, v Variant) (netip.AddrPort, error) {
	tables, err := tb.Tables(v)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		if f.Service != "default/"+t.Service || f.PortName != t.Port || !tb.entersBy(f, t.Via) {
			continue
		}
		if v.DataPath != DataPathNone {
			return f.AddrPort(), nil
		}
		if len(f.Backends) > 0 {
			return tables.Backends[f.Backends[0]].AddrPort(), nil
		}
	}
	if t.Via != "" {
		return netip.AddrPort{}, fmt.Errorf("service %s has no NodePort %s on %s", t.Service, t.Port, t.Via)
	}
	return netip.AddrPort{}, fmt.Errorf("service %s has no LoadBalancer port %s with a pod", t.Service, t.Port)
}

// Backends are the addresses of the pods that may answer a target's clients.
func (tb *Testbed) Backends(t Target, v Variant) ([]netip.Addr, error) {
	tables, err := tb.Tables(v)
	if err != nil {
		return nil, err
	}
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		if f.Service == "default/"+t.Service && f.PortName == t.Port && tb.entersBy(f, t.Via) {
			var all []netip.Addr
			for _, b := range f.Backends {
				all = append(all, tables.Backends[b].AddrPort().Addr())
			}
			return all, nil
		}
	}
	return nil, fmt.Errorf("service %s has no port %s", t.Service, t.Port)
}

// entersBy reports whether the frontend is the VIP's, or that of a node.
func (tb *Testbed) entersBy(f *services.Frontend, node string) bool {
	if node == "" {
		return f.Kind == services.KindLoadBalancer
	}
	n := tb.plan.Node(node)
	return f.Kind == services.KindNodePort && n != nil && slices.Contains(n.Addrs(), f.AddrPort().Addr())
}

// OpenDataPath opens a node's tables, counters and events. It returns dataplane.ErrNotLoaded where there is none.
func (tb *Testbed) OpenDataPath(node string) (*dataplane.DataPath, error) {
	dir, err := tb.network.BPFDir(node)
	if err != nil {
		return nil, err
	}
	return dataplane.Open(dir)
}

// EntryNode is the name of the first LB node.
func (tb *Testbed) EntryNode() string {
	if lbs := tb.LBNodes(); len(lbs) > 0 {
		return lbs[0].Name
	}
	return ""
}
