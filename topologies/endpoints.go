package topologies

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	// maxEndpoints is how many a slice holds (the API's limit).
	maxEndpoints = 1000
	// managedBy names who made a slice (label endpointslice.kubernetes.io/managed-by).
	managedBy = "topology.dsrlab.dev"
)

// endpointSlices are the slices of all services, in their order.
func (p *planner) endpointSlices() []discoveryv1.EndpointSlice {
	all := []discoveryv1.EndpointSlice{}
	p.zones = map[string]string{}
	for i := range p.Nodes {
		if zone, ok := p.Nodes[i].Labels[corev1.LabelTopologyZone]; ok {
			p.zones[p.Nodes[i].Name] = zone
		}
	}
	for i := range p.Services {
		all = append(all, p.slicesOf(&p.Services[i])...)
	}
	return all
}

// slicesOf gathers the pods that a service selects, for each of the service's IP versions those that have an address of it.
func (p *planner) slicesOf(s *corev1.Service) []discoveryv1.EndpointSlice {
	var all []discoveryv1.EndpointSlice
	for _, family := range s.Spec.IPFamilies {
		all = append(all, p.slicesOfFamily(s, family)...)
	}
	return all
}

// slicesOfFamily puts pods into one slice as long as the numbers of their ports are the same (a port's name may lead to
// another number in another pod).
func (p *planner) slicesOfFamily(s *corev1.Service, family corev1.IPFamily) []discoveryv1.EndpointSlice {
	var all []discoveryv1.EndpointSlice
	open := map[string]int{} // to the slice that takes the next pod of a kind
	for i := range p.Pods {
		pod := &p.Pods[i]
		at := slices.IndexFunc(pod.Addresses, func(a netip.Addr) bool { return familyOf(a) == family })
		if at < 0 || !selects(s, pod.Labels) {
			continue
		}
		ports, key := endpointPorts(s, pod)
		last, ok := open[key]
		if !ok || len(all[last].Endpoints) == maxEndpoints {
			last = len(all)
			open[key] = last
			all = append(all, newSlice(s, discoveryv1.AddressType(family), len(all)+1, ports))
		}
		all[last].Endpoints = append(all[last].Endpoints, p.endpoint(s, pod, pod.Addresses[at]))
	}
	return all
}

// newSlice is a slice without endpoints; number counts those of the service and family.
func newSlice(s *corev1.Service, family discoveryv1.AddressType, number int, ports []discoveryv1.EndpointPort) discoveryv1.EndpointSlice {
	name := s.Name + "-" + strings.ToLower(string(family))
	if number > 1 {
		name = fmt.Sprintf("%s-%d", name, number)
	}
	return discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Namespace, Labels: map[string]string{
			discoveryv1.LabelServiceName: s.Name, discoveryv1.LabelManagedBy: managedBy,
		}},
		AddressType: family,
		Ports:       ports,
	}
}

// endpointPorts are a service's ports as a pod has them, and a key that is the same for pods with the same ports.
func endpointPorts(s *corev1.Service, pod *Pod) (ports []discoveryv1.EndpointPort, key string) {
	for i := range s.Spec.Ports {
		in := s.Spec.Ports[i]
		number := in.TargetPort.IntVal
		if in.TargetPort.Type == intstr.String {
			w, _ := namedPort(pod.Workload, in.TargetPort.StrVal)
			number = int32(w.Port)
		}
		ports = append(ports, discoveryv1.EndpointPort{Name: &in.Name, Protocol: &in.Protocol, Port: &number, AppProtocol: in.AppProtocol})
		key += fmt.Sprintf(" %d", number)
	}
	return ports, key
}

func (p *planner) endpoint(s *corev1.Service, pod *Pod, address netip.Addr) discoveryv1.Endpoint {
	node := pod.Node
	yes, no := true, false
	e := discoveryv1.Endpoint{
		Addresses:  []string{address.String()},
		NodeName:   &node,
		Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: s.Namespace, Name: pod.Name},
	}
	if zone, ok := p.zones[node]; ok {
		e.Zone = &zone
	}
	e.Hints = hintsFor(s, &e)
	return e
}

// hintsFor are those that the controller of a cluster writes for an endpoint (Kubernetes,
// staging/src/k8s.io/endpointslice/trafficdist): the endpoint is for clients of its own zone, and with PreferSameNode first for those of
// its node.
func hintsFor(s *corev1.Service, e *discoveryv1.Endpoint) *discoveryv1.EndpointHints {
	var hints discoveryv1.EndpointHints
	if s.Spec.TrafficDistribution == nil {
		return nil
	}
	switch *s.Spec.TrafficDistribution {
	case corev1.ServiceTrafficDistributionPreferSameNode:
		hints.ForNodes = []discoveryv1.ForNode{{Name: *e.NodeName}}
	case corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferClose:
	default:
		return nil
	}
	if e.Zone != nil {
		hints.ForZones = []discoveryv1.ForZone{{Name: *e.Zone}}
	}
	return &hints
}
