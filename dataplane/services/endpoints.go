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

// MaxWeight is the greatest weight. With it and the least one a backend still has 300 slots of rendezvous.Slots beside one other.
const MaxWeight = 100

// portKey is what a service's port and a slice's port have in common.
type portKey struct {
	name     string
	protocol Protocol
	is6      bool
}

// sliceEndpoint is an endpoint as one slice has it at one port.
type sliceEndpoint struct {
	specBackend
	port portKey
	conditions
	hints *discoveryv1.EndpointHints
}

// conditions of an endpoint, as KEP-1669 defines them.
type conditions struct{ ready, serving, terminating bool }

// endpoints are the endpoints of a service's ports, ordered by address and port and then by slice. The slices are ordered.
func (c *compiler) endpoints(service *corev1.Service, from []*discoveryv1.EndpointSlice) []sliceEndpoint {
	var all []sliceEndpoint
	for _, slice := range from {
		is6 := slice.AddressType == discoveryv1.AddressTypeIPv6
		if !is6 && slice.AddressType != discoveryv1.AddressTypeIPv4 {
			c.problem(sliceObject(slice), "addressType", "use IPv4 or IPv6", "addresses of type %q are not balanced", slice.AddressType)
			continue
		}
		weight, ports := c.weight(slice), c.slicePorts(service, slice)
		all = slices.Grow(all, len(slice.Endpoints)*len(ports))
		for i := range slice.Endpoints {
			address, node, ok := c.locate(slice, i)
			if !ok {
				continue
			}
			in := &slice.Endpoints[i]
			conditions := conditionsOf(in, service.Spec.PublishNotReadyAddresses)
			for _, port := range ports {
				key := backendKey{netip.AddrPortFrom(address, port.number), port.protocol}
				all = append(all, sliceEndpoint{
					specBackend{key, node, weight, slice}, portKey{port.name, port.protocol, is6}, conditions, in.Hints,
				})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b sliceEndpoint) int { return a.key.compare(b.key) })
	return all
}

// slicePort is a port of a slice that the service has.
type slicePort struct {
	name     string
	number   uint16
	protocol Protocol
}

func (c *compiler) slicePorts(service *corev1.Service, slice *discoveryv1.EndpointSlice) []slicePort {
	var ports []slicePort
	for i := range slice.Ports {
		in := &slice.Ports[i]
		protocol, ok := protocolOf(in.Protocol)
		if !ok || in.Port == nil || *in.Port < 1 || *in.Port > 65535 {
			c.problem(sliceObject(slice), fmt.Sprintf("ports[%d]", i), "use TCP or UDP and a port from 1 to 65535",
				"%s is not balanced", describePort(in))
			continue
		}
		port := slicePort{deref(in.Name, ""), uint16(*in.Port), protocol}
		if slices.ContainsFunc(service.Spec.Ports, port.isOf) {
			ports = append(ports, port)
		}
	}
	return ports
}

// isOf reports whether a service's port leads to the slice's.
func (p slicePort) isOf(in corev1.ServicePort) bool {
	protocol, ok := protocolOf(&in.Protocol)
	return ok && protocol == p.protocol && in.Name == p.name
}

// locate finds the address and the node of one endpoint of a slice.
func (c *compiler) locate(slice *discoveryv1.EndpointSlice, index int) (netip.Addr, *nodeInfo, bool) {
	in := &slice.Endpoints[index]
	problem := func(field, want, format string, args ...any) {
		c.problem(sliceObject(slice), fmt.Sprintf("endpoints[%d]", index)+field, want, format, args...)
	}
	if len(in.Addresses) == 0 {
		problem(".addresses", "give it one address", "the endpoint has none")
		return netip.Addr{}, nil, false
	}
	// Consumers use the first address only; the API leaves the meaning of others open.
	address, err := netip.ParseAddr(in.Addresses[0])
	is6 := slice.AddressType == discoveryv1.AddressTypeIPv6
	if err != nil || !usable(address) || address.Is6() != is6 || address.Is4In6() {
		problem(".addresses[0]", fmt.Sprintf("use a unicast address of type %s", slice.AddressType),
			"%q is not the address of a pod", in.Addresses[0])
		return netip.Addr{}, nil, false
	}
	if node := c.nodeOf(in, address); node != nil {
		return address, node, true
	}
	if name := deref(in.NodeName, ""); name != "" {
		problem(".nodeName", "name a node of the cluster, or none where the address is outside of it",
			"%q is no known node, and no node has %s or its pod CIDR", name, address)
		return netip.Addr{}, nil, false
	}
	if what, ok := c.mayBeOutside(address); !ok {
		problem(".addresses[0]", "use the address of a pod, of a node, or of a host outside of the cluster", "%s is %s, and no node has it", address, what)
		return netip.Addr{}, nil, false
	}
	return address, c.nodes.outside, true
}

// nodeOf finds the node of an endpoint: the one that it names, else the one whose pod CIDR has the address or whose own address
// it is, as that of an API server, whose endpoints name no node. It is nil where there is none.
func (c *compiler) nodeOf(in *discoveryv1.Endpoint, address netip.Addr) *nodeInfo {
	if node := c.nodes.byName[deref(in.NodeName, "")]; node != nil {
		return node
	}
	return c.nodes.owning(address)
}

// conditionsOf has the defaults of the API and of kube-proxy: unknown is ready, serving, and not terminating. The controller
// that makes slices says ready for all endpoints of a service that publishes what is not ready; slices that people write may
// not say so.
func conditionsOf(in *discoveryv1.Endpoint, publishNotReady bool) conditions {
	return conditions{
		ready:       publishNotReady || deref(in.Conditions.Ready, true),
		serving:     publishNotReady || deref(in.Conditions.Serving, true),
		terminating: deref(in.Conditions.Terminating, false),
	}
}

// weight reads WeightAnnotation.
func (c *compiler) weight(slice *discoveryv1.EndpointSlice) uint32 {
	text, ok := slice.Annotations[WeightAnnotation]
	if !ok {
		return 1
	}
	weight, err := strconv.ParseUint(text, 10, 32)
	if err != nil || weight < 1 || weight > MaxWeight {
		c.problem(sliceObject(slice), "metadata.annotations["+WeightAnnotation+"]", fmt.Sprintf("use a number from 1 to %d", MaxWeight),
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

// byName orders the slices of one namespace.
func byName(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) }

// deref is *p, or a default where there is none.
func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
