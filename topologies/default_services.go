package topologies

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The API server's default range of NodePorts.
const (
	minNodePort = 30000
	maxNodePort = 32767
)

// frontendAddress is an address outside of all networks by which a service is reached.
type frontendAddress struct {
	field   string // within the service
	text    string
	address netip.Addr // not valid if text is no address
}

func frontendAt(field, text string) frontendAddress {
	address, _ := netip.ParseAddr(text)
	return frontendAddress{field, text, address}
}

// frontendAddresses are the VIPs and external IPs of a service.
func frontendAddresses(s *corev1.Service) []frontendAddress {
	all := vips(s)
	for i, text := range s.Spec.ExternalIPs {
		all = append(all, frontendAt(fmt.Sprintf("spec.externalIPs[%d]", i), text))
	}
	return all
}

// vips are the addresses of a service of type LoadBalancer: first the one that its spec asks for, unless its status has
// another of that IP version, then those in its status.
func vips(s *corev1.Service) []frontendAddress {
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	var all []frontendAddress
	asked := s.Spec.LoadBalancerIP
	if lacksAsked(s) {
		all = append(all, frontendAt("spec.loadBalancerIP", asked))
	}
	for i, ingress := range s.Status.LoadBalancer.Ingress {
		if ingress.IP == asked && asked != "" { // errors are better told where the user wrote it
			all = slices.Insert(all, 0, frontendAt("spec.loadBalancerIP", asked))
		} else {
			all = append(all, frontendAt(fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i), ingress.IP))
		}
	}
	return all
}

// lacksAsked reports whether the status of a service has no VIP of the IP version that its spec asks for.
func lacksAsked(s *corev1.Service) bool {
	asked, err := netip.ParseAddr(s.Spec.LoadBalancerIP)
	if err != nil {
		return s.Spec.LoadBalancerIP != "" && len(s.Status.LoadBalancer.Ingress) == 0
	}
	return !slices.ContainsFunc(s.Status.LoadBalancer.Ingress, func(i corev1.LoadBalancerIngress) bool {
		a, err := netip.ParseAddr(i.IP)
		return err != nil || alikeFamily(a, asked)
	})
}

// defaultServices fills in what the API server and its controllers would.
func defaultServices(s *Spec) {
	a := &allocator{nodePorts: map[int32]bool{}, clusterIPs: map[string]bool{}}
	for i := range s.Services {
		a.reserve(&s.Services[i].Spec)
	}
	for i := range s.Services {
		defaultService(&s.Services[i], a)
		defaultFamilies(&s.Services[i], podFamilies(s, &s.Services[i]))
		defaultClusterIPs(&s.Services[i].Spec, a)
	}
}

func defaultService(s *corev1.Service, a *allocator) {
	setDefault(&s.APIVersion, "v1")
	setDefault(&s.Kind, "Service")
	setDefault(&s.Namespace, metav1.NamespaceDefault)
	spec := &s.Spec
	setDefault(&spec.Type, corev1.ServiceTypeClusterIP)
	setDefault(&spec.SessionAffinity, corev1.ServiceAffinityNone)
	if spec.SessionAffinity == corev1.ServiceAffinityClientIP && spec.SessionAffinityConfig == nil {
		seconds := corev1.DefaultClientIPServiceAffinitySeconds
		spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
	setDefaultPointer(&spec.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	external := spec.Type == corev1.ServiceTypeNodePort || spec.Type == corev1.ServiceTypeLoadBalancer
	if external {
		setDefault(&spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	for i := range spec.Ports {
		p := &spec.Ports[i]
		setDefault(&p.Protocol, corev1.ProtocolTCP)
		setDefault(&p.TargetPort, intstr.FromInt32(p.Port))
	}
	if spec.Type == corev1.ServiceTypeLoadBalancer {
		setDefaultPointer(&spec.AllocateLoadBalancerNodePorts, true)
		if lacksAsked(s) {
			status := &s.Status.LoadBalancer // the end of it: what the user wrote comes first
			status.Ingress = append(status.Ingress, corev1.LoadBalancerIngress{IP: spec.LoadBalancerIP})
		}
		for i := range s.Status.LoadBalancer.Ingress {
			setDefaultPointer(&s.Status.LoadBalancer.Ingress[i].IPMode, corev1.LoadBalancerIPModeVIP)
		}
		if spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal && spec.HealthCheckNodePort == 0 {
			spec.HealthCheckNodePort = a.nodePort()
		}
	}
	if external && (spec.AllocateLoadBalancerNodePorts == nil || *spec.AllocateLoadBalancerNodePorts) {
		a.fillNodePorts(spec.Ports)
	}
}

// allocator gives out NodePorts and cluster IPs, each the lowest that nobody has.
type allocator struct {
	nodePorts  map[int32]bool // without regard to the protocol, as the API server does
	clusterIPs map[string]bool
}

// reserve takes what a service names itself.
func (a *allocator) reserve(spec *corev1.ServiceSpec) {
	a.nodePorts[spec.HealthCheckNodePort] = true
	for _, p := range spec.Ports {
		a.nodePorts[p.NodePort] = true
	}
	a.clusterIPs[spec.ClusterIP] = true
	for _, ip := range spec.ClusterIPs {
		a.clusterIPs[ip] = true
	}
}

// nodePort is 0 if there is none left.
func (a *allocator) nodePort() int32 {
	for port := int32(minNodePort); port <= maxNodePort; port++ {
		if !a.nodePorts[port] {
			a.nodePorts[port] = true
			return port
		}
	}
	return 0
}

// fillNodePorts gives every port without a NodePort one. TCP and UDP of the same port get the same.
func (a *allocator) fillNodePorts(ports []corev1.ServicePort) {
	for i := range ports {
		for j := range ports {
			if ports[i].NodePort == 0 && ports[j].Port == ports[i].Port && ports[j].Protocol != ports[i].Protocol {
				ports[i].NodePort = ports[j].NodePort
			}
		}
		if ports[i].NodePort == 0 {
			ports[i].NodePort = a.nodePort()
		}
	}
}

func (a *allocator) clusterIP(six bool) string {
	pool := netip.MustParsePrefix(clusterPool4)
	if six {
		pool = netip.MustParsePrefix(clusterPool6)
	}
	for ip := addAddr(pool.Addr(), 10); pool.Contains(ip); ip = ip.Next() {
		if text := ip.String(); !a.clusterIPs[text] {
			a.clusterIPs[text] = true
			return text
		}
	}
	return ""
}

// setDefault sets a value that is zero.
func setDefault[T comparable](value *T, to T) {
	var zero T
	if *value == zero {
		*value = to
	}
}

func setDefaultPointer[T any](value **T, to T) {
	if *value == nil {
		*value = &to
	}
}
