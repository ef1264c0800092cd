package services

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// WeightAnnotation on an EndpointSlice gives its endpoints a weight from 1 to MaxWeight (default 1).
const WeightAnnotation = "dsrlab.dev/weight"

// MaxWeight bounds how long a Maglev table takes to fill: rounds grow with the greatest weight.
const MaxWeight = 100

// endpoint is one address of a service's port.
type endpoint struct {
	key         backendKey
	node        string
	ready       bool
	serving     bool
	terminating bool
}

// groupSlices sorts the slices by the service that they are of.
func (b *builder) groupSlices(all []discoveryv1.EndpointSlice) {
	b.byService = map[objectKey][]*discoveryv1.EndpointSlice{}
	for i := range all {
		slice := &all[i]
		name := slice.Labels[discoveryv1.LabelServiceName]
		if name == "" {
			b.problem(sliceObject(slice), "metadata.labels", "name its service in the label "+discoveryv1.LabelServiceName,
				"the slice is of no service")
			continue
		}
		key := objectKey{slice.Namespace, name}
		b.byService[key] = append(b.byService[key], slice)
	}
	for _, group := range b.byService {
		slices.SortStableFunc(group, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	}
}

// portKey is what a service's port and a slice's port have in common.
type portKey struct {
	name     string
	protocol Protocol
	is6      bool
}

// endpoints are those of a service by port, each address once and in the order of slices.
func (b *builder) endpoints(service *corev1.Service) map[portKey][]endpoint {
	found := map[portKey][]endpoint{}
	for _, slice := range b.byService[objectKey{service.Namespace, service.Name}] {
		is6 := slice.AddressType == discoveryv1.AddressTypeIPv6
		if !is6 && slice.AddressType != discoveryv1.AddressTypeIPv4 {
			b.problem(sliceObject(slice), "addressType", "use IPv4 or IPv6", "addresses of type %q are not balanced", slice.AddressType)
			continue
		}
		weight, ports := b.weight(slice), b.slicePorts(slice)
		for i := range slice.Endpoints {
			in := &slice.Endpoints[i]
			address, node, ok := b.place(slice, i)
			if !ok {
				continue
			}
			ready, serving, terminating := conditions(in, service.Spec.PublishNotReadyAddresses)
			for _, port := range ports {
				key := backendKey{netip.AddrPortFrom(address, port.number), port.protocol}
				b.addBackend(slice, key, node, weight)
				at := portKey{port.name, port.protocol, is6}
				found[at] = addOnce(found[at], endpoint{key, node.Name, ready, serving, terminating})
			}
		}
	}
	return found
}

// slicePort is a port of a slice that can be balanced.
type slicePort struct {
	name     string
	number   uint16
	protocol Protocol
}

func (b *builder) slicePorts(slice *discoveryv1.EndpointSlice) []slicePort {
	var ports []slicePort
	for i := range slice.Ports {
		in := &slice.Ports[i]
		protocol, ok := protocolOf(in.Protocol)
		if !ok || in.Port == nil || *in.Port < 1 || *in.Port > 65535 {
			b.problem(sliceObject(slice), fmt.Sprintf("ports[%d]", i), "use TCP or UDP and a port from 1 to 65535",
				"%s is not balanced", describePort(in))
			continue
		}
		ports = append(ports, slicePort{deref(in.Name, ""), uint16(*in.Port), protocol})
	}
	return ports
}

// place finds the address and the node of one endpoint of a slice.
func (b *builder) place(slice *discoveryv1.EndpointSlice, index int) (netip.Addr, Node, bool) {
	object, field := sliceObject(slice), fmt.Sprintf("endpoints[%d]", index)
	in := &slice.Endpoints[index]
	if len(in.Addresses) == 0 {
		b.problem(object, field+".addresses", "give it one address", "the endpoint has none")
		return netip.Addr{}, Node{}, false
	}
	// Consumers use the first address only; the API leaves the meaning of others open.
	address, err := netip.ParseAddr(in.Addresses[0])
	is6 := slice.AddressType == discoveryv1.AddressTypeIPv6
	if err != nil || !usable(address) || address.Is6() != is6 || address.Is4In6() {
		b.problem(object, field+".addresses[0]", fmt.Sprintf("use a unicast address of type %s", slice.AddressType),
			"%q is not the address of a pod", in.Addresses[0])
		return netip.Addr{}, Node{}, false
	}
	node, ok := b.nodeOf(in, address)
	if !ok {
		what := "it names no node"
		if in.NodeName != nil {
			what = fmt.Sprintf("%q is no known node", *in.NodeName)
		}
		b.problem(object, field+".nodeName", "name the node of "+address.String(), "%s and no pod CIDR holds the address", what)
	}
	return address, node, ok
}

// addOnce merges an endpoint that is in two slices, as happens while a controller moves it: any that says "ready" holds.
func addOnce(all []endpoint, e endpoint) []endpoint {
	i := slices.IndexFunc(all, func(other endpoint) bool { return other.key == e.key })
	if i < 0 {
		return append(all, e)
	}
	all[i].ready = all[i].ready || e.ready
	all[i].serving = all[i].serving || e.serving
	all[i].terminating = all[i].terminating && e.terminating
	return all
}

// addBackend notes a backend, or checks that it is as another service has it.
func (b *builder) addBackend(slice *discoveryv1.EndpointSlice, key backendKey, node Node, weight uint32) {
	known := b.backends[key]
	if known == nil {
		b.backends[key] = &backend{node: node, weight: weight, slice: sliceObject(slice)}
		return
	}
	if known.node.Name != node.Name {
		b.problem(sliceObject(slice), "endpoints", "name one node for one address",
			"%s is on node %s here and on %s in %s", key.address, node.Name, known.node.Name, known.slice)
	}
	if known.weight != weight {
		b.problem(sliceObject(slice), "metadata.annotations["+WeightAnnotation+"]", "give an address one weight",
			"%s has weight %d here and %d in %s", key.address, weight, known.weight, known.slice)
	}
}

// nodeOf finds the node of an endpoint: the one that it names, else the one whose pod CIDR has the address.
func (b *builder) nodeOf(in *discoveryv1.Endpoint, address netip.Addr) (Node, bool) {
	if in.NodeName != nil {
		if node, ok := b.nodes[*in.NodeName]; ok {
			return node, true
		}
	}
	for _, node := range b.nodeOrder {
		if node.PodCIDR.Contains(address) {
			return node, true
		}
	}
	return Node{}, false
}

// conditions reads what KEP-1669 defines, with the defaults of the API: ready when unknown, serving as ready.
func conditions(in *discoveryv1.Endpoint, publishNotReady bool) (ready, serving, terminating bool) {
	ready = publishNotReady || deref(in.Conditions.Ready, true)
	serving = publishNotReady || deref(in.Conditions.Serving, ready)
	return ready, serving, deref(in.Conditions.Terminating, false)
}

// choose are the endpoints that may get new flows: the ready ones; where there is none, those that still serve while they
// terminate (KEP-1669), which is better than to refuse.
func choose(all []endpoint) []backendKey {
	var ready, last []backendKey
	for _, e := range all {
		if e.ready {
			ready = append(ready, e.key)
		} else if e.serving && e.terminating {
			last = append(last, e.key)
		}
	}
	if len(ready) > 0 {
		return ready
	}
	return last
}

// chooseLocal is what every node chooses among its own endpoints, all nodes together.
func chooseLocal(all []endpoint) []backendKey {
	byNode := map[string][]endpoint{}
	for _, e := range all {
		byNode[e.node] = append(byNode[e.node], e)
	}
	var chosen []backendKey
	for _, local := range byNode { // in any order: Frontend.Backends is sorted
		chosen = append(chosen, choose(local)...)
	}
	return chosen
}

// weight reads WeightAnnotation.
func (b *builder) weight(slice *discoveryv1.EndpointSlice) uint32 {
	text, ok := slice.Annotations[WeightAnnotation]
	if !ok {
		return 1
	}
	weight, err := strconv.ParseUint(text, 10, 32)
	if err != nil || weight < 1 || weight > MaxWeight {
		b.problem(sliceObject(slice), "metadata.annotations["+WeightAnnotation+"]", fmt.Sprintf("use a number from 1 to %d", MaxWeight),
			"%q is no weight", text)
		return 1
	}
	return uint32(weight)
}

// protocolOf reads a protocol, TCP by default.
func protocolOf(p *corev1.Protocol) (Protocol, bool) {
	switch deref(p, corev1.ProtocolTCP) {
	case corev1.ProtocolTCP, "":
		return TCP, true
	case corev1.ProtocolUDP:
		return UDP, true
	}
	return 0, false
}

func describePort(port *discoveryv1.EndpointPort) string {
	number := "a port without number"
	if port.Port != nil {
		number = fmt.Sprintf("port %d", *port.Port)
	}
	return fmt.Sprintf("%s of protocol %q", number, deref(port.Protocol, corev1.ProtocolTCP))
}

func sliceObject(slice *discoveryv1.EndpointSlice) string {
	return "endpointslice " + slice.Namespace + "/" + slice.Name
}

// deref is *p, or a default where there is none.
func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
