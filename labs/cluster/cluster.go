// Package cluster runs labs on a cluster that exists, through its API and with this machine as the client. It measures what the
// cluster does, or what dsrd does there, and installs nothing: no agent, no rule, no definition. All that it makes is a namespace with
// the topology's pods and services, which is gone at the end, however that comes about short of being killed.
//
// Part, cast, the objects and the words are pure; Site has the effects.
package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/objects"
)

// Options say how a lab is run on a cluster.
type Options struct {
	// Client is the way to the API server.
	Client kubernetes.Interface
	// DataPath is AsIs or DSRLab.
	DataPath testbed.DataPath
	// Image has the workload binary /labpod. The nodes must have it, or be able to pull it.
	Image string
	// Timeouts override how long the cluster may take (default: defaultTimeouts).
	Timeouts Timeouts
}

// Timeouts are how long a cluster may take for something.
type Timeouts struct {
	Pods      time.Duration // from the first pod made to the last one ready
	VIP       time.Duration // to give out a VIP
	Endpoints time.Duration // to tell of the ready pods in EndpointSlices
	Settle    time.Duration // for its service proxy to do as they say
	Remove    time.Duration // to remove the namespace
}

func (t Timeouts) withDefaults() Timeouts {
	for _, one := range []struct {
		value *time.Duration
		by    time.Duration
	}{{&t.Pods, 2 * time.Minute}, {&t.VIP, 5 * time.Second}, {&t.Endpoints, 30 * time.Second}, {&t.Settle, 20 * time.Second}, {&t.Remove, 3 * time.Minute}} {
		if *one.value == 0 {
			*one.value = one.by
		}
	}
	return t
}

// pollEvery is how often the API server is asked while something is waited for.
const pollEvery = 200 * time.Millisecond

// Site is a cluster on which one lab runs (labs.Substrate). Calls come one at a time.
type Cluster struct {
	Options
	// Part is what of the lab is done.
	Subset *Subset

	plan      *topologies.Plan
	nodes     []Node
	info      Info
	namespace string
	services  map[string]*corev1.Service // by their names in the namespace
	pods      map[string]netip.Addr      // by the topology's names
	vips      map[string]netip.Addr      // by the services' names; empty where NodePorts are called
	dialer    workload.Dialer
	seen      []Observation
	answered  bool // whether anything was
}

var _ labs.Substrate = (*Cluster)(nil)

// New looks at a cluster, and at what of a lab it can do. Nothing is made yet. A cluster or a lab that can't is a
// labs.LackingError.
func New(ctx context.Context, lab *labs.Lab, o Options) (*Cluster, error) {
	topology, err := topologies.Lookup(lab.Spec.Topology)
	if err != nil {
		return nil, err
	}
	plan, err := topologies.PlanOf(topology)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		Options: o, plan: plan, services: make(map[string]*corev1.Service), pods: make(map[string]netip.Addr), vips: make(map[string]netip.Addr),
		dialer: workload.Dialer{Ports: workload.NewPorts()},
	}
	c.Timeouts = o.Timeouts.withDefaults()
	if c.Subset, err = SubsetOf(lab, plan, o.DataPath); err != nil {
		return nil, err
	}
	nodes, err := o.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the cluster's nodes: %w", err)
	}
	if c.nodes, err = mapNodes(plan, nodes.Items); err != nil {
		return nil, err
	}
	c.info, err = inspect(ctx, o.Client)
	c.info.Nodes = c.nodes
	return c, err
}

// Open makes the namespace with pods and services, and waits until all pods are ready and the way in is known.
func (c *Cluster) Open(ctx context.Context, r *labs.Report) error {
	if err := c.tell(ctx, r); err != nil {
		return fmt.Errorf("open the cluster: %w", err)
	}
	if err := c.open(ctx, r); err != nil {
		return fmt.Errorf("open the cluster: %w", errors.Join(err, c.remove(context.WithoutCancel(ctx))))
	}
	r.Built(c.readdressed())
	return nil
}

// tell says what this cluster is, and what of the lab is left out on it.
func (c *Cluster) tell(ctx context.Context, r *labs.Report) error {
	errs := []error{
		r.Describe("cluster", c.info),
		r.Tell("cluster", fmt.Sprintf("Kubernetes %s, service proxy: %s", c.info.Version, strings.Join(c.info.ServiceProxies, ", "))),
	}
	for _, m := range c.nodes {
		if m.TopologyNode != "" {
			errs = append(errs, r.Tell("cluster", fmt.Sprintf("%s is %s (%s)", m.TopologyNode, m.Name, words.List(m.Addresses))))
		}
	}
	for _, line := range c.Subset.Omitted {
		errs = append(errs, r.Tell("left out", line))
	}
	old, err := c.Client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: managedByLabel + "=" + managedBy})
	if err == nil { // who may not list them is not told
		for i := range old.Items {
			errs = append(errs, r.Tell("cluster", fmt.Sprintf("namespace %s is of another run; if that is over: kubectl delete namespace %[1]s", old.Items[i].Name)))
		}
	}
	return errors.Join(errs...)
}

func (c *Cluster) open(ctx context.Context, r *labs.Report) error {
	random := make([]byte, 4)
	_, _ = rand.Read(random) // never fails
	c.namespace = fmt.Sprintf("dsrlab-%x", random)
	_, err := c.Client.CoreV1().Namespaces().Create(ctx, namespaceOf(c.namespace, c.Subset.Lab.Metadata.Name), metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("namespace %s: %w", c.namespace, err)
	}
	if err := c.makePods(ctx); err != nil {
		return err
	}
	if err := c.makeServices(ctx); err != nil {
		return err
	}
	if err := c.waitPods(ctx); err != nil {
		return err
	}
	return c.findVIPs(ctx, r)
}

func (c *Cluster) makePods(ctx context.Context) error {
	for i := range c.plan.Pods {
		p := &c.plan.Pods[i]
		made := podOf(p, c.namespace, c.Image, c.node(p.Node).Hostname)
		if _, err := c.Client.CoreV1().Pods(c.namespace).Create(ctx, made, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("pod %s: %w", p.Name, err)
		}
		if err := objects.SetReady(ctx, c.Client, c.namespace, p.Name, true); err != nil {
			return err
		}
	}
	return nil
}

// makeServices makes, for each variant, the services that its steps call.
func (c *Cluster) makeServices(ctx context.Context) error {
	for i := range c.Subset.Lab.Spec.Variants {
		v := &c.Subset.Lab.Spec.Variants[i]
		for _, name := range c.called(v.Name) {
			planned := c.plan.Service(name)
			if planned == nil {
				return fmt.Errorf("topology %s has no service %s", c.plan.Name, name)
			}
			service := serviceOf(planned, serviceName(name, i), c.namespace, v, c.plan.Pods)
			made, err := c.Client.CoreV1().Services(c.namespace).Create(ctx, service, metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("service %s: %w", service.Name, err)
			}
			c.services[made.Name] = made
		}
	}
	return nil
}

// called are the services that a variant's steps call.
func (c *Cluster) called(variant string) []string {
	var all []string
	for _, t := range trials(c.Subset.Lab, c.plan) {
		for i := range t.Phase.Steps {
			if step := &t.Phase.Steps[i]; t.Variant.Name == variant && t.Does(step) {
				all = append(all, serviceOfStep(step))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func serviceOfStep(s *steps.Step) string {
	if s.Health != nil {
		return s.Health.Service
	}
	return s.Connect.To.Service
}

// Close removes the namespace, and waits until it is gone. It is an error if nothing on the cluster ever answered: then nothing was
// measured of it.
func (c *Cluster) Close(ctx context.Context) error {
	err := c.remove(ctx)
	if len(c.seen) > 0 && !c.answered {
		err = errors.Join(fmt.Errorf("nothing on the cluster answered: do the nodes' addresses (%s) lead there from this machine, "+
			"and do firewalls let NodePorts through?", c.entryAddresses()), err)
	}
	return err
}

func (c *Cluster) remove(ctx context.Context) error {
	if c.namespace == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeouts.Remove)
	defer cancel()
	api := c.Client.CoreV1().Namespaces()
	err := poll(ctx, func(ctx context.Context) error {
		err := api.Delete(ctx, c.namespace, metav1.DeleteOptions{})
		if err == nil || apierrors.IsConflict(err) { // Conflict: it is going already
			_, err = api.Get(ctx, c.namespace, metav1.GetOptions{})
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = errors.New("it is still there")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove namespace %s (kubectl delete namespace %[1]s does it by hand): %w", c.namespace, err)
	}
	return nil
}

// machine is the one that plays a node of the topology.
func (c *Cluster) node(node string) *Node {
	i := slices.IndexFunc(c.nodes, func(m Node) bool { return m.TopologyNode == node })
	return &c.nodes[i]
}

// poll does something until it succeeds. The error when ctx ends is the last one of it.
func poll(ctx context.Context, try func(context.Context) error) error {
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		var final *finalError
		if errors.As(err, &final) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(pollEvery):
		}
	}
}

// finalError is one that no other try makes good.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }
