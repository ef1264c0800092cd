package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/kube/image"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/kind"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// On a cluster the data path is the node agents'. A variant of our own data path is a state of the services: their mode by
// annotation, their policy, which of their pods are ready. All other variants label the services as another proxy's
// (service.kubernetes.io/service-proxy-name), so that agents leave them alone, and put that proxy's rules on the nodes; the
// cluster's own services, DNS and the API, stay with the agents.

// proxyNameLabel takes services from the agents (k8s.io/kube-proxy, options.go).
const proxyNameLabel = "service.kubernetes.io/service-proxy-name"

// serveTimeoutOnCluster is how long the agents may take to serve services as they are now.
const serveTimeoutOnCluster = 20 * time.Second

// onKind is the platform whose nodes are those of a kind cluster: they run node agents, and pods start their servers themselves.
type onKind struct{ *Testbed }

func (p *onKind) startPods(context.Context, string, func(string)) error { return nil }

// agentArgs: a testbed's agent answers health checks of other data paths only, beside the cluster's own agent, which has the port of the
// metrics.
func (p *onKind) agentArgs() []string { return []string{"--metrics="} }

func (p *onKind) checkFailure() error { return onlyOnNetns("an LB node that dies") }

func (p *onKind) reinstall(context.Context, topologies.Node, Variant, *services.Tables) error {
	return p.checkFailure()
}

// onlyOnNetns is the error for what a cluster can't do.
func onlyOnNetns(what string) error {
	return &netns.MissingError{Feature: what + " on substrate kind", How: "run it with --substrate netns", Err: errors.ErrUnsupported}
}

// makerOf returns the provider of a substrate's nodes; nil for namespaces.
func makerOf(o Options, labPod string) *kind.Provider {
	return &kind.Provider{Options: kind.Options{
		NodeImage: o.NodeImage, WorkloadImage: image.DefaultTag, Deploy: deployAgents, Keep: o.Keep, Log: o.Log, OnStep: o.OnStep,
		Archive: func(w io.Writer) error {
			return image.Write(context.Background(), w, image.DefaultTag, filepath.Dir(labPod))
		},
	}}
}

// kubernetes is the way to the cluster's API server.
func (p *onKind) kubernetes(ctx context.Context) (*kind.Cluster, error) {
	if p.cluster == nil {
		c, err := kind.Open(ctx, p.network)
		if err != nil {
			return nil, err
		}
		p.cluster = c
	}
	return p.cluster, nil
}

// check reports what of a variant needs nodes that are namespaces.
func (p *onKind) check(v Variant) error {
	switch {
	case v.Fault != dataplane.FaultNone:
		return onlyOnNetns("a data path that is broken on purpose")
	case v.Hook == dataplane.HookXDP:
		return onlyOnNetns("the hook xdp")
	case len(v.Obstacles) > 0:
		return onlyOnNetns("a network that misbehaves on purpose")
	}
	return nil
}

// install gives the services to the agents as the variant has them, and waits until every node does as they say. Health checks are the
// agents' then, too.
func (p *onKind) install(ctx context.Context, v Variant, tables *services.Tables) error {
	return p.setServices(ctx, v, tables)
}

func (p *onKind) setEndpoints(ctx context.Context, v Variant, tables *services.Tables) error {
	c, err := p.kubernetes(ctx)
	if err != nil {
		return err
	}
	if err := p.setReady(ctx, c, v); err != nil || v.DataPath != DataPathDSRLab {
		return err
	}
	return p.waitServed(ctx, func(d *dataplane.DataPath, node string) error { return differs(d, tables, node) })
}

// uninstall takes the services from the agents, and waits until no node has anything of them: neither tables nor flows.
func (p *onKind) uninstall(ctx context.Context) error {
	tables, err := p.Tables(Variant{})
	if err != nil {
		return err
	}
	if err := p.writeServices(ctx, Variant{DataPath: DataPathNone}); err != nil {
		return err
	}
	err = p.waitServed(ctx, func(d *dataplane.DataPath, _ string) error { return lacks(d, tables) })
	if err != nil {
		return err
	}
	return p.forgetFlows(tables)
}

// forgetFlows deletes the flows of the last variant, so that no variant meets another's.
func (p *onKind) forgetFlows(tables *services.Tables) error {
	var frontends []netip.AddrPort
	for i := range tables.Frontends {
		frontends = append(frontends, tables.Frontends[i].AddrPort())
	}
	for _, n := range p.ClusterNodes() {
		err := p.look(n.Name, func(d *dataplane.DataPath, _ string) error {
			_, err := d.ForgetFlows(frontends)
			return err
		})
		if err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return nil
}

func (p *onKind) setServices(ctx context.Context, v Variant, tables *services.Tables) error {
	if err := p.writeServices(ctx, v); err != nil {
		return err
	}
	return p.waitServed(ctx, func(d *dataplane.DataPath, node string) error { return differs(d, tables, node) })
}

// writeServices changes services and pods of the cluster to what a variant has.
func (p *onKind) writeServices(ctx context.Context, v Variant) error {
	c, err := p.kubernetes(ctx)
	if err != nil {
		return err
	}
	if err := p.setReady(ctx, c, v); err != nil {
		return err
	}
	for _, want := range v.services(p.plan.Services) {
		api := c.Client.CoreV1().Services(metav1.NamespaceDefault)
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			have, err := api.Get(ctx, want.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			v.applyTo(have, &want)
			_, err = api.Update(ctx, have, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			return fmt.Errorf("service %s: %w", want.Name, err)
		}
	}
	return nil
}

// applyTo sets in an object of the cluster what the variant specifies for its service.
func (v Variant) applyTo(have, want *corev1.Service) {
	have.Spec.ExternalTrafficPolicy = want.Spec.ExternalTrafficPolicy
	have.Spec.HealthCheckNodePort = want.Spec.HealthCheckNodePort
	if have.Labels == nil {
		have.Labels = make(map[string]string)
	}
	if have.Annotations == nil {
		have.Annotations = make(map[string]string)
	}
	if v.DataPath != DataPathDSRLab {
		have.Labels[proxyNameLabel] = "dsrlab-" + string(v.DataPath)
		return
	}
	delete(have.Labels, proxyNameLabel)
	mode := string(v.Mode)
	if own, ok := want.Annotations[services.ModeAnnotation]; ok {
		mode = own
	}
	have.Annotations[services.ModeAnnotation] = mode
}

// setReady makes exactly the pods ready that the variant's endpoints have.
func (p *onKind) setReady(ctx context.Context, c *kind.Cluster, v Variant) error {
	ready := make(map[string]bool)
	for _, slice := range v.endpoints(p.plan.EndpointSlices) {
		for _, e := range slice.Endpoints {
			if e.Conditions.Terminating != nil && *e.Conditions.Terminating {
				return onlyOnNetns("a pod that is drained")
			}
			if e.TargetRef != nil && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				ready[e.TargetRef.Name] = true
			}
		}
	}
	for _, pod := range p.plan.Pods {
		if err := c.SetReady(ctx, pod.Name, ready[pod.Name]); err != nil {
			return err
		}
	}
	return nil
}

// waitServed waits until the tables of every LB and pod node are as they should be.
func (p *onKind) waitServed(ctx context.Context, problem func(d *dataplane.DataPath, node string) error) error {
	ctx, cancel := context.WithTimeout(ctx, serveTimeoutOnCluster)
	defer cancel()
	for _, n := range p.ClusterNodes() {
		for {
			err := p.look(n.Name, problem)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for the agent of %s: %w", n.Name, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// look calls a function with a node's data path.
func (p *onKind) look(node string, do func(d *dataplane.DataPath, node string) error) error {
	d, err := p.OpenDataPath(node)
	if err != nil {
		return err
	}
	defer d.Close()
	return do(d, node)
}

// differs describes how a node's tables differ from the wanted ones. Other services don't matter.
func differs(d *dataplane.DataPath, tables *services.Tables, node string) error {
	list, err := d.List()
	if err != nil {
		return err
	}
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		have := find(list, f)
		switch {
		case have == nil && f.Kind == services.KindNodePort && f.Node != node:
		case have == nil:
			return fmt.Errorf("it does not serve %v/%s", f.AddrPort(), f.Protocol)
		case have.Mode != string(f.Mode) || have.Local != f.LocalOnly:
			return fmt.Errorf("it serves %v/%s in mode %s, with %s", f.AddrPort(), f.Protocol, have.Mode, policyWord(have.Local))
		default:
			if want, got := addressesFor(tables, f, node), backendsOf(have); !slices.Equal(want, got) {
				return fmt.Errorf("it serves %v/%s by %s, and not by %s", f.AddrPort(), f.Protocol, words.List(got), words.List(want))
			}
		}
	}
	return nil
}

// policyWord says whose backends a frontend has.
func policyWord(local bool) string {
	if local {
		return "the node's own backends"
	}
	return "all nodes' backends"
}

// lacks describes what of the tables is still there.
func lacks(d *dataplane.DataPath, tables *services.Tables) error {
	list, err := d.List()
	if err != nil {
		return err
	}
	for i := range tables.Frontends {
		if f := &tables.Frontends[i]; find(list, f) != nil {
			return fmt.Errorf("it still serves %v/%s", f.AddrPort(), f.Protocol)
		}
	}
	backends, err := d.Backends()
	if err != nil {
		return err
	}
	for i := range tables.Backends {
		b := tables.Backends[i].AddrPort()
		if slices.ContainsFunc(backends, func(l dataplane.ListedBackend) bool { return l.Address == b && l.Local }) {
			return fmt.Errorf("it still has backend %v", b)
		}
	}
	return nil
}

func find(list []dataplane.Listed, f *services.Frontend) *dataplane.Listed {
	i := slices.IndexFunc(list, func(l dataplane.Listed) bool { return l.Address == f.AddrPort() && l.Protocol == f.Protocol.String() })
	if i < 0 {
		return nil
	}
	return &list[i]
}

func addressesFor(tables *services.Tables, f *services.Frontend, node string) []string {
	var all []string
	for _, i := range tables.Selectable(f, node) {
		all = append(all, tables.Backends[i].AddrPort().String())
	}
	slices.Sort(all)
	return all
}

func backendsOf(l *dataplane.Listed) []string {
	var all []string
	for _, b := range l.Backends {
		all = append(all, b.Address.String())
	}
	slices.Sort(all)
	return all
}
