package services

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// defaultAffinity is the API's default for sessionAffinityConfig.clientIP.timeoutSeconds.
const defaultAffinity = 10800 * time.Second

// TunnelPort is the UDP port that Geneve tunnels end at, at each node's addresses (RFC 8926, section 3.3). No service can have it there.
const TunnelPort = 6081

// addressOf is one of the addresses that a service is reached at.
type addressOf struct {
	address netip.Addr
	kind    Kind
	node    string
}

// addFrontends adds all frontends that the service asks for.
func (c *compiler) addFrontends(s *spec) {
	service, object := s.service, serviceObject(s.service)
	addresses := c.addresses(service)
	common := Frontend{
		Service:      service.Namespace + "/" + service.Name,
		Mode:         c.mode(service),
		Selection:    c.selection(service),
		SourceRanges: c.sourceRanges(service),
		Affinity:     c.affinity(service),
	}
	if service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
		common.HealthCheckNodePort = c.port(object, "spec.healthCheckNodePort", service.Spec.HealthCheckNodePort, true)
	}
	s.frontends = make([]specFrontend, 0, len(addresses)*len(service.Spec.Ports))
	for i := range service.Spec.Ports {
		c.addPort(s, i, common, addresses)
	}
}

// isServedElsewhere reports whether labels of a Service or EndpointSlice tell proxies to leave it alone. Whatever the value is, the empty
// one too: kube-proxy selects objects without these labels (Kubernetes, cmd/kube-proxy/app/server.go).
func isServedElsewhere(labels map[string]string) bool {
	_, headless := labels[corev1.IsHeadlessService]
	_, named := labels["service.kubernetes.io/service-proxy-name"]
	return headless || named
}

// ours reports whether the service is balanced at all: headless and external names are not, by definition.
func (c *compiler) ours(service *corev1.Service) bool {
	if isServedElsewhere(service.Labels) || service.Spec.ClusterIP == corev1.ClusterIPNone {
		return false
	}
	switch service.Spec.Type {
	case "", corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		return true
	case corev1.ServiceTypeExternalName:
		return false
	}
	c.problem(serviceObject(service), "spec.type", "use ClusterIP, NodePort or LoadBalancer", "%q is no type of service", service.Spec.Type)
	return false
}

// addPort adds the frontends of one port at all addresses of the service.
func (c *compiler) addPort(s *spec, index int, common Frontend, addresses []addressOf) {
	in := &s.service.Spec.Ports[index]
	object, field := serviceObject(s.service), fmt.Sprintf("spec.ports[%d]", index)
	protocol, ok := protocolOf(&in.Protocol)
	if !ok {
		c.problem(object, field+".protocol", "use TCP or UDP", "%q is not balanced", in.Protocol)
		return
	}
	port := c.port(object, field+".port", in.Port, false)
	nodePort := c.port(object, field+".nodePort", in.NodePort, true)
	if nodePort == TunnelPort && protocol == UDP {
		c.problem(object, field+".nodePort", "use another port", "tunnels between nodes end at UDP port %d", TunnelPort)
		nodePort = 0
	}
	for _, at := range addresses {
		if at.kind == KindExternalIP && port == TunnelPort && protocol == UDP && c.nodes.holders[at.address] != nil {
			c.problem(object, field+".port", "use another port", "tunnels to node %s end at UDP port %d of %s", c.nodes.holders[at.address].name, TunnelPort, at.address)
			continue
		}
		f := common
		f.Address, f.Kind, f.Node = at.address, at.kind, at.node
		f.Port, f.Protocol, f.PortName = port, protocol, in.Name
		f.Mode = common.Mode.For(protocol)
		f.LocalOnly = s.service.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
		switch at.kind {
		case KindNodePort:
			f.Port = nodePort
		case KindClusterIP:
			f.Mode = ModeSNAT
			f.SourceRanges = nil // they are for clients outside of the cluster, who don't reach a ClusterIP
			f.LocalOnly = deref(s.service.Spec.InternalTrafficPolicy, "") == corev1.ServiceInternalTrafficPolicyLocal
		}
		if _, said := s.service.Annotations[SelectionAnnotation]; f.Affinity > 0 && !said && isOneNodes(at.kind) {
			// After timeoutSeconds a client is to be able to get another backend. A hash of its address would give it the same one.
			f.Selection = SelectionRandom
		}
		if f.Port != 0 {
			pool := s.poolOf(portKey{in.Name, protocol, at.address.Is6()})
			s.frontends = append(s.frontends, specFrontend{f, field, pool})
		}
	}
}

// isOneNodes reports whether all of a client's requests to an address of this kind enter at one node, so that no other has to agree with
// it on a backend: at the client's own, or at the node whose address it is.
func isOneNodes(k Kind) bool { return k == KindClusterIP || k == KindNodePort }

// addresses are all that the service is reached at, valid ones only.
func (c *compiler) addresses(service *corev1.Service) []addressOf {
	object := serviceObject(service)
	var all []addressOf
	add := func(field, text string, kind Kind) {
		address, err := netip.ParseAddr(text)
		if err != nil || !usable(address) {
			c.problem(object, field, "use a unicast address", "%q is not the address of a service", text)
			return
		}
		if address = address.Unmap(); c.mayClaim(object, field, address, kind) {
			all = append(all, addressOf{address: address, kind: kind})
		}
	}
	for i, text := range clusterIPs(service) {
		if text != "" {
			add(fmt.Sprintf("spec.clusterIPs[%d]", i), text, KindClusterIP)
		}
	}
	if service.Spec.Type == corev1.ServiceTypeLoadBalancer {
		// spec.loadBalancerIP is what the user asks a controller for. Only the controller knows whether it is the user's to have.
		for i, ingress := range service.Status.LoadBalancer.Ingress {
			// With mode Proxy the load balancer in front translates, and the VIP is not for nodes (KEP-1860).
			if ingress.IP != "" && deref(ingress.IPMode, corev1.LoadBalancerIPModeVIP) != corev1.LoadBalancerIPModeProxy {
				add(fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i), ingress.IP, KindLoadBalancer)
			}
		}
	}
	for i, text := range service.Spec.ExternalIPs {
		add(fmt.Sprintf("spec.externalIPs[%d]", i), text, KindExternalIP)
	}
	if service.Spec.Type == corev1.ServiceTypeLoadBalancer || service.Spec.Type == corev1.ServiceTypeNodePort {
		all = append(all, c.nodePortAddresses(service)...)
	}
	return all
}

// nodePortAddresses are all addresses of all nodes, of the service's families.
func (c *compiler) nodePortAddresses(service *corev1.Service) []addressOf {
	if !slices.ContainsFunc(service.Spec.Ports, func(port corev1.ServicePort) bool { return port.NodePort != 0 }) {
		return nil
	}
	var all []addressOf
	for _, node := range c.nodes.ordered {
		for _, address := range node.addresses {
			if hasFamily(service, address) {
				all = append(all, addressOf{address, KindNodePort, node.name})
			}
		}
	}
	return all
}

// clusterIPs are spec.clusterIPs, or spec.clusterIP where only that is given.
func clusterIPs(service *corev1.Service) []string {
	if len(service.Spec.ClusterIPs) > 0 {
		return service.Spec.ClusterIPs
	}
	return []string{service.Spec.ClusterIP}
}

// hasFamily reports whether the service has NodePorts at addresses of a's family: as spec.ipFamilies has it, else as its
// ClusterIPs are, else at all.
func hasFamily(service *corev1.Service, a netip.Addr) bool {
	families := slices.Clone(service.Spec.IPFamilies)
	if len(families) == 0 {
		for _, text := range clusterIPs(service) {
			if strings.Contains(text, ":") {
				families = append(families, corev1.IPv6Protocol)
			} else if text != "" {
				families = append(families, corev1.IPv4Protocol)
			}
		}
	}
	if len(families) == 0 {
		return true
	}
	for _, family := range families {
		if (family == corev1.IPv6Protocol) == a.Is6() {
			return true
		}
	}
	return false
}

// mode is what the annotation says, or else the options.
func (c *compiler) mode(service *corev1.Service) Mode {
	text, ok := service.Annotations[ModeAnnotation]
	if !ok {
		return c.options.Mode
	}
	mode, err := ParseMode(text)
	if err != nil {
		c.problem(serviceObject(service), "metadata.annotations["+ModeAnnotation+"]", "use snat, dsr or hybrid", "%q is no forwarding mode", text)
		return c.options.Mode
	}
	return mode
}

// selection is what the annotation says, or else consistent.
func (c *compiler) selection(service *corev1.Service) Selection {
	text, ok := service.Annotations[SelectionAnnotation]
	if !ok {
		return SelectionConsistent
	}
	selection, err := ParseSelection(text)
	if err != nil {
		c.problem(serviceObject(service), "metadata.annotations["+SelectionAnnotation+"]", "use consistent or random", "%q is no selection", text)
		return SelectionConsistent
	}
	return selection
}

// sourceRanges reads who may use the service at its VIPs, externalIPs and NodePorts. (kube-proxy has them hold at VIPs alone, so that
// the other addresses of a service are ways around them.) A range that can't be read allows nobody, but does not open the service.
func (c *compiler) sourceRanges(service *corev1.Service) []netip.Prefix {
	var ranges []netip.Prefix
	for i, text := range service.Spec.LoadBalancerSourceRanges {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(text)) // the API server lets spaces pass
		if err != nil {
			c.problem(serviceObject(service), fmt.Sprintf("spec.loadBalancerSourceRanges[%d]", i), "use a prefix like 192.0.2.0/24",
				"%q is no range of addresses", text)
			continue
		}
		ranges = append(ranges, prefix.Masked())
	}
	if len(ranges) == 0 && len(service.Spec.LoadBalancerSourceRanges) > 0 {
		return []netip.Prefix{netip.PrefixFrom(netip.IPv6Unspecified(), 128)} // no client has this address
	}
	return ranges
}

// affinity reads for how long a client keeps its backend.
func (c *compiler) affinity(service *corev1.Service) time.Duration {
	switch service.Spec.SessionAffinity {
	case "", corev1.ServiceAffinityNone:
		return 0
	case corev1.ServiceAffinityClientIP:
	default:
		c.problem(serviceObject(service), "spec.sessionAffinity", "use None or ClientIP", "%q is no session affinity", service.Spec.SessionAffinity)
		return 0
	}
	config := service.Spec.SessionAffinityConfig
	if config == nil || config.ClientIP == nil || config.ClientIP.TimeoutSeconds == nil {
		return defaultAffinity
	}
	seconds := *config.ClientIP.TimeoutSeconds
	if seconds < 1 || seconds > 86400 {
		c.problem(serviceObject(service), "spec.sessionAffinityConfig.clientIP.timeoutSeconds", "use a number from 1 to 86400", "%d is out of range", seconds)
		return defaultAffinity
	}
	return time.Duration(seconds) * time.Second
}

// port reads a port number; 0 is one that is not given or not valid.
func (c *compiler) port(object, field string, number int32, optional bool) uint16 {
	if number >= 1 && number <= 65535 {
		return uint16(number)
	}
	if number != 0 || !optional {
		c.problem(object, field, "use a port from 1 to 65535", "%d is no port", number)
	}
	return 0
}

func serviceObject(service *corev1.Service) string {
	return "service " + service.Namespace + "/" + service.Name
}
