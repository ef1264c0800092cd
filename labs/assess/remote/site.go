package remote

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/assess/prober"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
	"github.com/dsrlab/dsrlab/topologies/objects"
)

// clientName is this machine's name as a client, unless a node has it.
const clientName = "client"

// maxFrontends bounds how many frontends are called: each takes a part of a second, and seconds if nothing of it arrives.
const maxFrontends = 32

// site is what prober looks at.
func (s *Session) site() (prober.Site, error) {
	site := prober.Site{Of: s.Of, Client: prober.Machine{Name: clientName}, Services: s.seen.outsideServices()}
	var err error
	if site.Client.Addresses, err = s.Here.addresses(s.seen.nodes); err != nil {
		return site, err
	}
	site.Client.Open = func(_ context.Context, see func(probe.Sighting)) (prober.Station, error) { return s.Here.Open(see) }
	for _, a := range s.agents {
		if a.node.Name == site.Client.Name {
			site.Client.Name = "this machine"
		}
		site.Nodes = append(site.Nodes, prober.Machine{
			Name: a.node.Name, Addresses: a.addresses(),
			Open: func(_ context.Context, see func(probe.Sighting)) (prober.Station, error) {
				a.client.OnSighting(see)
				return &station{Client: a.client, outside: a.outside()}, nil
			},
		})
	}
	site.Frontends = s.seen.frontends(site.Services)
	site.VIPs = s.seen.vips(site.Frontends, site.Services)
	if more := len(site.Frontends) - maxFrontends; more > 0 {
		site.Frontends = site.Frontends[:maxFrontends]
		s.notes = append(s.notes, assess.Unread{What: fmt.Sprintf("calls to %d more frontends", more), Why: fmt.Sprintf("only %d are called", maxFrontends)})
	}
	return site, nil
}

// vips are the addresses of no node that services are called by: those that are called over TCP first, then those of other services.
func (s *snapshot) vips(frontends []assess.Frontend, services []assess.Service) []netip.Addr {
	var all []netip.Addr
	for _, f := range frontends {
		if f.Kind == assess.VIP && !slices.Contains(all, f.Address.Addr()) {
			all = append(all, f.Address.Addr())
		}
	}
	for i := range services {
		if isLocal(&services[i].Service) {
			continue
		}
		for _, a := range loadBalancers(&services[i].Service) {
			if s.nodeOf(a) == "" && !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}

// nodeAddresses are those of nodes, probed or not, that services are called by as if they were VIPs.
func (s *snapshot) nodeAddresses() []netip.Addr {
	var all []netip.Addr
	for i := range s.services {
		for _, a := range loadBalancers(&s.services[i]) {
			if s.nodeOf(a) != "" && !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}

// addresses are the node's InternalIPs, at most one of each IP version, with the lengths that their networks have on the node.
func (a *agent) addresses() []netip.Prefix {
	var all []netip.Prefix
	for _, six := range []bool{false, true} {
		one := addressOf(a.node, corev1.NodeInternalIP, six)
		if !one.IsValid() {
			continue
		}
		prefix := netip.PrefixFrom(one, one.BitLen())
		for _, d := range a.facts.Devices {
			for _, p := range d.Addresses {
				if p.Addr() == one {
					prefix = p
				}
			}
		}
		all = append(all, prefix)
	}
	return all
}

// outside is the device that has the node's address; that of the default route if none has.
func (a *agent) outside() string {
	for _, d := range a.facts.Devices {
		for _, own := range a.addresses() {
			if slices.Contains(d.Addresses, own) {
				return d.Name
			}
		}
	}
	return a.facts.Outside
}

// station is an agent whose outside device is that which the cluster uses.
type station struct {
	*probe.Client
	outside string
}

var _ prober.Station = (*station)(nil)

func (s *station) Facts(ctx context.Context) (*probe.Facts, error) {
	facts, err := s.Client.Facts(ctx)
	if err == nil {
		facts.Outside = s.outside
	}
	return facts, err
}

// notKnown is the network plugin or service proxy of a node where nothing tells of one.
const notKnown = "not known"

// describe adds what the API server says of the nodes and what could not be read there.
func (s *Session) describe(o *assess.Observations) {
	o.Unread = append(append(o.Unread, s.seen.unread...), s.notes...)
	o.NodeAddresses = s.seen.nodeAddresses()
	for i := range s.seen.all {
		if n := &s.seen.all[i]; !s.seen.probed(n.Name) && objects.NodeIsReady(n) { // others carry nothing
			o.OtherNodes = append(o.OtherNodes, n.Name)
		}
	}
	for i := range o.Nodes {
		n := &o.Nodes[i]
		k := slices.IndexFunc(s.seen.nodes, func(one corev1.Node) bool { return one.Name == n.Name })
		if k < 0 {
			continue
		}
		node := &s.seen.nodes[k]
		n.ProviderID, n.Labels = node.Spec.ProviderID, node.Labels
		n.CNI, n.ProxyMode = cmp.Or(s.seen.cniOf(node), notKnown), cmp.Or(s.seen.proxyOf(), notKnown)
		for _, six := range []bool{false, true} {
			if a := addressOf(node, corev1.NodeExternalIP, six); a.IsValid() && a != addressOf(node, corev1.NodeInternalIP, six) {
				n.ExternalAddresses = append(n.ExternalAddresses, a)
			}
		}
	}
}

// isOutside reports whether clients outside of the cluster can call a service.
func isOutside(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer || len(s.Spec.ExternalIPs) > 0
}

// isLocal reports whether only the pods of the node that was called answer: DSR changes nothing about it.
func isLocal(s *corev1.Service) bool {
	return s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// outsideServices are the services that can be called from outside, with where their pods are.
func (s *snapshot) outsideServices() []assess.Service {
	var all []assess.Service
	for i := range s.services {
		service := &s.services[i]
		if !isOutside(service) {
			continue
		}
		one := assess.Service{Endpoints: map[string]int{}}
		one.Service.ObjectMeta = metav1.ObjectMeta{Name: service.Name, Namespace: service.Namespace}
		one.Service.Spec, one.Service.Status.LoadBalancer = service.Spec, service.Status.LoadBalancer
		if a, err := netip.ParseAddr(service.Spec.LoadBalancerIP); err != nil || !slices.Contains(loadBalancers(service), a.Unmap()) {
			one.Service.Spec.LoadBalancerIP = "" // it was asked for, and not given: nobody can call it
		}
		if placed := s.addEndpoints(&one); !s.knowsEndpoints || !placed {
			one.Endpoints = nil
		}
		all = append(all, one)
	}
	return all
}

// addEndpoints adds what is known of a service's pods, and reports whether it is known of all of them on which nodes they are: of endpoints that
// were written by hand it mostly isn't.
func (s *snapshot) addEndpoints(one *assess.Service) (placed bool) {
	of := &one.Service
	placed = true
	nodes := map[string]string{} // of the endpoints, each of which is in slices of both IP versions
	for i := range s.slices {
		slice := &s.slices[i]
		if slice.Namespace != of.Namespace || slice.Labels[discoveryv1.LabelServiceName] != of.Name {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready || len(e.Addresses) == 0 {
				continue
			}
			if e.NodeName == nil {
				placed = false
				continue
			}
			name := e.Addresses[0]
			if e.TargetRef != nil {
				name = e.TargetRef.Name
			}
			nodes[name] = *e.NodeName
		}
	}
	for _, node := range nodes {
		one.Endpoints[node]++
	}
	for i := range s.pods {
		p := &s.pods[i]
		if _, isEndpoint := nodes[p.Name]; !isEndpoint || p.Namespace != of.Namespace {
			continue
		}
		one.HostNetwork = one.HostNetwork || p.Spec.HostNetwork
		for _, c := range p.Spec.Containers {
			for _, port := range c.Ports {
				if port.HostPort != 0 && !p.Spec.HostNetwork && !slices.Contains(one.HostPorts, port.HostPort) {
					one.HostPorts = append(one.HostPorts, port.HostPort)
				}
			}
		}
	}
	slices.Sort(one.HostPorts)
	return placed
}

// frontends are what clients can call over TCP: VIPs first, as they are what most services are called by. Where there are none of an IP version,
// each node is called at a port of probes.
func (s *snapshot) frontends(services []assess.Service) []assess.Frontend {
	var vips, ports, external []assess.Frontend
	for i := range services {
		service := &services[i].Service
		if isLocal(service) {
			continue
		}
		name := service.Namespace + "/" + service.Name
		for _, port := range service.Spec.Ports {
			if port.Protocol != "" && port.Protocol != corev1.ProtocolTCP {
				continue
			}
			for _, a := range loadBalancers(service) {
				f := assess.Frontend{Service: name, Kind: assess.VIP, Address: netip.AddrPortFrom(a, uint16(port.Port))}
				if f.Node = s.nodeOf(a); f.Node != "" {
					f.Kind = assess.NodeAddress
				}
				if f.Node == "" || s.probed(f.Node) {
					vips = append(vips, f)
				}
			}
			if port.NodePort != 0 {
				ports = append(ports, s.nodePorts(corev1.NodeInternalIP, name, service.Spec.IPFamilies, uint16(port.NodePort))...)
			}
			if port.NodePort != 0 && len(loadBalancers(service)) == 0 { // clients outside know nodes by these
				external = append(external, s.nodePorts(corev1.NodeExternalIP, name, service.Spec.IPFamilies, uint16(port.NodePort))...)
			}
		}
	}
	all := slices.Concat(vips, ports, external)
	for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		six := family == corev1.IPv6Protocol
		if !slices.ContainsFunc(all, func(f assess.Frontend) bool { return f.Address.Addr().Is6() == six }) {
			all = append(all, s.nodePorts(corev1.NodeInternalIP, "", []corev1.IPFamily{family}, probe.FirstPort)...)
		}
	}
	return all
}

// nodePorts are a port of all nodes, at their addresses of a type; of those with an ExternalIP, if it is another than the InternalIP.
func (s *snapshot) nodePorts(of corev1.NodeAddressType, service string, families []corev1.IPFamily, port uint16) []assess.Frontend {
	var all []assess.Frontend
	for i := range s.nodes {
		for _, six := range []bool{false, true} {
			family := corev1.IPv4Protocol
			if six {
				family = corev1.IPv6Protocol
			}
			a := addressOf(&s.nodes[i], of, six)
			if of == corev1.NodeExternalIP && a == addressOf(&s.nodes[i], corev1.NodeInternalIP, six) {
				continue
			}
			if a.IsValid() && (len(families) == 0 && !six || slices.Contains(families, family)) {
				all = append(all, assess.Frontend{Service: service, Kind: assess.NodeAddress, Address: netip.AddrPortFrom(a, port), Node: s.nodes[i].Name})
			}
		}
	}
	return all
}

// nodeOf names the node of the cluster that has an address, probed or not; empty if none has.
func (s *snapshot) nodeOf(a netip.Addr) string {
	for i := range s.all {
		for _, own := range s.all[i].Status.Addresses {
			if own.Address == a.String() {
				return s.all[i].Name
			}
		}
	}
	return ""
}

func (s *snapshot) probed(node string) bool {
	return slices.ContainsFunc(s.nodes, func(n corev1.Node) bool { return n.Name == node })
}

// loadBalancers are the addresses that a service can be called by beside its NodePorts.
func loadBalancers(service *corev1.Service) []netip.Addr {
	var all []netip.Addr
	texts := slices.Clone(service.Spec.ExternalIPs)
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		texts = append(texts, ingress.IP)
	}
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil && !slices.Contains(all, a.Unmap()) {
			all = append(all, a.Unmap())
		}
	}
	return all
}
