package cluster

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
)

const theClient = "the client"

// whoIn says whose an address is, in a report of what this machine called.
func (c *Cluster) whoIn(report *workload.ConnectReport) func(netip.Addr) string {
	return func(a netip.Addr) string {
		for _, c := range report.Connections {
			if c.Outcome == workload.OutcomeOK && c.Local.Addr() == a {
				return theClient
			}
		}
		return who(a, c.nodes, c.pods)
	}
}

// who says whose an address is that a pod saw. An address of a node's pod network that no pod has is the node's: its gateway's there,
// or its tunnel's.
func who(a netip.Addr, machines []Node, pods map[string]netip.Addr) string {
	for name, address := range pods {
		if address == a {
			return "pod " + name
		}
	}
	for i := range machines {
		m := &machines[i]
		name := m.TopologyNode
		if name == "" {
			name = "node " + m.Name
		}
		if slices.Contains(m.Addresses, a) {
			return name
		}
		if slices.ContainsFunc(m.PodCIDRs, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return name + ", by an address of its pod network"
		}
	}
	return "neither the client nor a node"
}

// isLBNode reports whether an address is that of a node where requests for a VIP enter.
func (c *Cluster) isLBNode(a netip.Addr) bool {
	node, _, _ := strings.Cut(who(a, c.nodes, c.pods), ",")
	return slices.ContainsFunc(c.plan.LBNodes(), func(n topologies.Node) bool { return n.Name == node })
}

func podOn(pod, node string) func(topologies.Pod) bool {
	return func(p topologies.Pod) bool { return p.Name == pod && p.Node == node }
}

// Observation is what was seen of one way in, over all repetitions.
type Observation struct {
	Variant, Policy, Called, Protocol string
	Count, Answered                   int
	// Saw counts whom the pod saw.
	Saw map[string]int
	// Health is the status of a node's health check; then there is nothing else.
	Health []string
}

// observation is the one of a variant and a way in, a new one if there is none yet.
func (c *Cluster) observation(t *labs.Trial, service *corev1.Service, called, protocol string) *Observation {
	policy := string(service.Spec.ExternalTrafficPolicy)
	for i := range c.seen {
		if o := &c.seen[i]; o.Variant == t.Variant.Name && o.Called == called && o.Protocol == protocol {
			return o
		}
	}
	c.seen = append(c.seen, Observation{Variant: t.Variant.Name, Policy: policy, Called: called, Protocol: protocol, Saw: make(map[string]int)})
	return &c.seen[len(c.seen)-1]
}

func (c *Cluster) observe(t *labs.Trial, connect *steps.ConnectStep, service *corev1.Service, report *workload.ConnectReport, who func(netip.Addr) string) {
	called := "NodePort of " + c.entryNode(connect.To)
	if _, vip := c.vips[service.Name]; vip && connect.To.Via == "" {
		called = "VIP"
	}
	o := c.observation(t, service, called, strings.ToUpper(string(connect.Protocol)))
	o.Count += report.Count
	o.Answered += report.Outcomes[workload.OutcomeOK]
	for a, times := range steps.SeenAddresses(report) {
		o.Saw[who(a)] += times
	}
}

func (c *Cluster) observeHealth(t *labs.Trial, service *corev1.Service, node, status string) {
	o := c.observation(t, service, "health check of "+node, "HTTP")
	if !slices.Contains(o.Health, status) {
		o.Health = append(o.Health, status)
	}
}

// Found says what was seen of the way in, in a few words.
func (o *Observation) Found() string {
	if len(o.Health) > 0 {
		return "status " + strings.Join(o.Health, ", then ")
	}
	if o.Answered == 0 {
		return "no pod was reached"
	}
	names := make([]string, 0, len(o.Saw))
	for name := range o.Saw {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d times", name, o.Saw[name])
	}
	return "the pod saw " + strings.Join(names, "; ")
}

// Summarize writes what was seen of each way in; nothing if no trial was taken.
func (c *Cluster) Summarize(w io.Writer) {
	if len(c.seen) == 0 {
		return
	}
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"Variant", "externalTrafficPolicy", "Called", "Protocol", "Answered", "Seen"})
	for i := range c.seen {
		o := &c.seen[i]
		answered := ""
		if o.Count > 0 {
			answered = fmt.Sprintf("%d of %d", o.Answered, o.Count)
		}
		t.AppendRow(table.Row{o.Variant, o.Policy, o.Called, o.Protocol, answered, o.Found()})
	}
	t.Render()
}

// readdressed is the plan with the addresses that things have on the cluster, and without what is not there.
func (c *Cluster) readdressed() *topologies.Plan {
	plan := *c.plan
	plan.Substrate = topologies.SubstrateCluster
	plan.Networks, plan.FabricRoutes, plan.EndpointSlices = nil, nil, nil
	plan.Nodes, plan.Pods, plan.Services = nil, nil, nil
	for _, n := range c.plan.ClusterNodes() {
		m := c.node(n.Name)
		made := topologies.Node{Name: n.Name, Role: n.Role}
		for _, a := range m.Addresses {
			made.Addresses = append(made.Addresses, netip.PrefixFrom(a, a.BitLen()))
		}
		made.PodCIDRs = m.PodCIDRs
		plan.Nodes = append(plan.Nodes, made)
	}
	for _, p := range c.plan.Pods {
		plan.Pods = append(plan.Pods, topologies.Pod{Name: p.Name, Node: p.Node, Addresses: []netip.Addr{c.pods[p.Name]}, Labels: p.Labels, Workload: p.Workload})
	}
	for _, service := range c.plan.Services {
		made := *service.DeepCopy()
		made.Status = corev1.ServiceStatus{}
		made.Spec.LoadBalancerIP = ""
		plan.Services = append(plan.Services, made)
	}
	return &plan
}
