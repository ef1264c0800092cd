package topologies

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

const (
	// ModeAnnotation on a Service sets its forwarding mode: snat, dsr or hybrid.
	ModeAnnotation = annotationPrefix + "forwarding-mode"

	annotationPrefix = "dsrlab.dev/"
)

// serviceChecker checks one service; what must be unique among all of them is in the maps.
type serviceChecker struct {
	*checker
	*corev1.Service
	field string
	// pods are the indexes of the PodSpecs that the service selects.
	pods []int
	// nodePorts, clusterIPs and frontends are taken, by the service at this field.
	nodePorts, clusterIPs, frontends map[string]string
}

func (c *checker) services() {
	names := map[string]int{}
	s := serviceChecker{checker: c, nodePorts: map[string]string{}, clusterIPs: map[string]string{}, frontends: map[string]string{}}
	for i := range c.t.Spec.Services {
		s.Service, s.field = &c.t.Spec.Services[i], fmt.Sprintf("spec.services[%d]", i)
		if first, twice := names[s.Name]; twice && s.Name != "" {
			c.errorf(s.field+".metadata.name", "the name %s is already that of spec.services[%d]", s.Name, first)
		} else {
			names[s.Name] = i
		}
		s.head()
		s.selected()
		s.policies()
		s.addresses()
		s.ports()
	}
}

func (s *serviceChecker) errorf(field, format string, args ...any) {
	s.checker.errorf(s.field+"."+field, format, args...)
}

// oneOf checks a value that Kubernetes enumerates.
func oneOf[T ~string](s *serviceChecker, field string, got T, known ...string) {
	if !slices.Contains(known, string(got)) {
		s.errorf(field, "%q is not known%s", got, manifest.Suggest(string(got), known))
	}
}

func (s *serviceChecker) head() {
	if s.APIVersion != "v1" {
		s.errorf("apiVersion", "is %q, want v1", s.APIVersion)
	}
	if s.Kind != "Service" {
		s.errorf("kind", "is %q, want Service", s.Kind)
	}
	switch {
	case s.Name == "":
		s.errorf("metadata.name", "is missing")
	case !isLabel(s.Name) || len(s.Name) > 63:
		s.errorf("metadata.name", "%q is no name: want at most 63 of a-z, 0-9 and -, a letter first, no - last", s.Name)
	}
	if s.Namespace != metav1.NamespaceDefault {
		s.errorf("metadata.namespace", "is %q, want default: a topology's pods are there", s.Namespace)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Annotations)) {
		switch value := s.Annotations[key]; {
		case key == ModeAnnotation:
			oneOf(s, "metadata.annotations["+key+"]", value, "snat", "dsr", "hybrid")
		case strings.HasPrefix(key, annotationPrefix):
			s.errorf("metadata.annotations["+key+"]", "is no annotation of dsrlab%s", manifest.Suggest(key, []string{ModeAnnotation}))
		}
	}
}

// selected finds the pods that the service is for.
func (s *serviceChecker) selected() {
	s.pods = nil
	if len(s.Spec.Selector) == 0 {
		s.errorf("spec.selector", "is missing, want labels of the pods that serve")
		return
	}
	for i := range s.t.Spec.Pods {
		if selects(s.Service, s.t.Spec.Pods[i].Labels) {
			s.pods = append(s.pods, i)
		}
	}
	if len(s.pods) == 0 {
		s.follows("spec.pods", s.field+".spec.selector", "matches no pod")
	}
}

// selects reports whether a service is for pods with these labels.
func selects(s *corev1.Service, labels map[string]string) bool {
	for key, want := range s.Spec.Selector {
		if got, ok := labels[key]; !ok || got != want {
			return false
		}
	}
	return len(s.Spec.Selector) > 0
}

func (s *serviceChecker) policies() {
	spec := &s.Spec
	oneOf(s, "spec.type", spec.Type, "ClusterIP", "NodePort", "LoadBalancer")
	oneOf(s, "spec.sessionAffinity", spec.SessionAffinity, "None", "ClientIP")
	if spec.InternalTrafficPolicy != nil {
		oneOf(s, "spec.internalTrafficPolicy", *spec.InternalTrafficPolicy, "Cluster", "Local")
	}
	if s.external() {
		oneOf(s, "spec.externalTrafficPolicy", spec.ExternalTrafficPolicy, "Cluster", "Local")
	} else if s.internal() && spec.ExternalTrafficPolicy != "" {
		s.errorf("spec.externalTrafficPolicy", "is for type NodePort and LoadBalancer, not for %s", spec.Type)
	}
	if a := spec.SessionAffinityConfig; a != nil && a.ClientIP != nil && a.ClientIP.TimeoutSeconds != nil {
		if seconds := *a.ClientIP.TimeoutSeconds; seconds < 1 || seconds > 86400 {
			s.errorf("spec.sessionAffinityConfig.clientIP.timeoutSeconds", "is %d, want 1 to 86400", seconds)
		}
	}
	for i, text := range spec.LoadBalancerSourceRanges {
		if _, err := netip.ParsePrefix(strings.TrimSpace(text)); err != nil {
			s.errorf(fmt.Sprintf("spec.loadBalancerSourceRanges[%d]", i), "%q is no range, want one as in 192.0.2.0/24", text)
		}
	}
	if port := spec.HealthCheckNodePort; port != 0 {
		if spec.Type != corev1.ServiceTypeLoadBalancer || spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
			s.errorf("spec.healthCheckNodePort", "is for type LoadBalancer with externalTrafficPolicy Local only")
		} else {
			s.nodePort("spec.healthCheckNodePort", port, corev1.ProtocolTCP)
		}
	}
}

// external reports whether the service is reached from outside of the cluster by NodePorts.
func (s *serviceChecker) external() bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// internal reports whether it is not. Of a type that is not known it is neither.
func (s *serviceChecker) internal() bool { return s.Spec.Type == corev1.ServiceTypeClusterIP }
