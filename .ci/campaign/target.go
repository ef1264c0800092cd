package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// target is a testbed with servers of ours in its pods.
type target struct {
	*testbed.Testbed
	variant testbed.Variant
	to      netip.AddrPort // what clients call
	servers map[string]*server
	// agent is the program of the node agent.
	agent string
}

const (
	standTopology = "five-nodes"
	servicePort   = 5201
	// churned services have churnedEndpoints each, whose conditions change; no pod is behind them. They have NodePorts from churnedNodePort on.
	// Of up to 16 endpoints tables have lists, for which there always is room: without room, a service is left without any for a moment.
	churned          = 50
	churnedEndpoints = 16
	churnedNodePort  = 30100
)

// newTarget builds the topology under a name of its own, in a state folder of its own.
func newTarget(ctx context.Context, o *options, name string) (*target, error) {
	topology, err := topologies.Lookup(standTopology)
	if err != nil {
		return nil, err
	}
	for i := range topology.Spec.Nodes {
		topology.Spec.Nodes[i].Link = topologies.LinkSpec{}
	}
	plan, err := topologies.PlanOf(topology)
	if err != nil {
		return nil, err
	}
	for i := range plan.Pods {
		plan.Pods[i].Workload = nil
	}
	addChurned(plan)
	tb, _, err := testbed.Up(ctx, plan, testbed.Options{
		StateDir: o.state("target"), Name: name, LabPod: filepath.Join(filepath.Dir(o.program), "labpod"), Agent: o.agent(),
	})
	if err != nil {
		return nil, err
	}
	s := &target{
		Testbed: tb, to: netip.MustParseAddrPort("185.150.8.128:5201"), agent: o.agent(), servers: make(map[string]*server),
		variant: testbed.Variant{Name: "dsr", DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR},
	}
	for _, p := range plan.Pods {
		if err := s.serve(p.Name); err != nil {
			return nil, errors.Join(err, s.down())
		}
	}
	if err := s.Install(ctx, s.variant); err != nil {
		return nil, errors.Join(err, s.down())
	}
	return s, nil
}

// addChurned adds services to the plan whose endpoints change while others are called.
func addChurned(plan *topologies.Plan) {
	port := int32(80)
	protocol := corev1.ProtocolUDP
	for i := range churned {
		name := churnedName(i)
		targetPort := int32(1000 + i) // each service has backends of its own
		plan.Services = append(plan.Services, corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
			Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeNodePort, ClusterIP: fmt.Sprintf("172.20.200.%d", i+1), ClusterIPs: []string{fmt.Sprintf("172.20.200.%d", i+1)},
				Ports: []corev1.ServicePort{{Port: port, TargetPort: intstr.FromInt32(targetPort), Protocol: protocol, NodePort: int32(churnedNodePort + i)}},
			},
		})
		slice := discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: name}},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: &targetPort, Protocol: &protocol}},
		}
		for j := range churnedEndpoints {
			ready := true
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{fmt.Sprintf("10.0.2.%d", 100+j)}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			})
		}
		plan.EndpointSlices = append(plan.EndpointSlices, slice)
	}
}

func (s *target) serve(pod string) error {
	server, err := serve(s.Testbed, pod, servicePort)
	if err == nil {
		s.servers[pod] = server
	}
	return err
}

func (s *target) down() error {
	for _, server := range s.servers {
		server.kill()
	}
	return s.Down(context.Background())
}

// traffic begins with connections that last and connections that are opened meanwhile.
func (s *target) traffic(ctx context.Context, lasting, openers int) (*traffic, error) {
	t := newTraffic(s.Testbed, "client", s.to)
	if err := t.hold(ctx, lasting); err != nil {
		t.stop()
		return nil, err
	}
	t.open(ctx, openers)
	return t, nil
}

// setPort sets the fabric's end of a node's link up or down.
func (s *target) setPort(node string, set func(netlink.Link) error) error {
	for _, n := range s.Plan().Nodes {
		if n.Name != node {
			continue
		}
		return s.Enter(netns.Fabric).Do(func() error {
			port, err := netlink.LinkByName(n.Port)
			if err != nil {
				return fmt.Errorf("find port of %s: %w", node, err)
			}
			return set(port)
		})
	}
	return fmt.Errorf("find port: no node %s", node)
}

// endpointsWithout are those of the plan, but for a pod's.
func (s *target) endpointsWithout(pod string) []discoveryv1.EndpointSlice {
	var all []discoveryv1.EndpointSlice
	for _, slice := range s.Plan().EndpointSlices {
		kept := *slice.DeepCopy()
		kept.Endpoints = nil
		for _, e := range slice.Endpoints {
			if e.TargetRef == nil || e.TargetRef.Name != pod {
				kept.Endpoints = append(kept.Endpoints, e)
			}
		}
		all = append(all, kept)
	}
	return all
}

// state is a folder for the campaign's own testbeds.
func (o *options) state(name string) string { return filepath.Join(o.dir, "state-"+name) }

// agent is the node agent beside the program.
func (o *options) agent() string { return filepath.Join(filepath.Dir(o.program), "dsrd") }

// requireRoot returns an error without root.
func requireRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("this campaign needs root (try sudo): it makes network namespaces and loads BPF programs")
	}
	return nil
}
