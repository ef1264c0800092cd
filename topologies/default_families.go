package topologies

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// podFamilies are the IP versions of the pods that a service selects, or if there are none of the first network, in order.
func podFamilies(s *Spec, service *corev1.Service) []corev1.IPFamily {
	var all []corev1.IPFamily
	add := func(addresses []netip.Addr) {
		for _, a := range addresses {
			if f := familyOf(a); a.IsValid() && !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	for i := range s.Pods {
		p := &s.Pods[i]
		if !selects(service, p.Labels) {
			continue
		}
		for j := range s.Nodes {
			if n := &s.Nodes[j]; n.Name == p.Node || n.Replicas > 1 && strings.HasPrefix(p.Node, n.Name+"-") {
				add(addrsOf(n.PodCIDRs))
			}
		}
	}
	if len(all) == 0 && len(s.Networks) > 0 {
		add(addrsOf(s.Networks[0].Subnets))
	}
	return all
}

// defaultFamilies fills in a service's IP versions, as the API server would for a cluster whose pods are of these
// families. Beyond that, a service that names VIPs or external IPs of both versions, but no policy and no families, is
// dual-stack.
func defaultFamilies(service *corev1.Service, pods []corev1.IPFamily) {
	spec := &service.Spec
	var frontends []netip.Addr
	for _, f := range frontendAddresses(service) {
		frontends = append(frontends, f.address)
	}
	if spec.ClusterIP == "" && len(spec.ClusterIPs) > 0 {
		spec.ClusterIP = spec.ClusterIPs[0]
	}
	if spec.IPFamilyPolicy == nil {
		policy := corev1.IPFamilyPolicySingleStack
		open := len(spec.IPFamilies) == 0 && spec.ClusterIP == ""
		if len(spec.IPFamilies) > 1 || len(spec.ClusterIPs) > 1 || open && hasBothFamilies(frontends) {
			policy = corev1.IPFamilyPolicyRequireDualStack
		}
		spec.IPFamilyPolicy = &policy
	}
	if len(spec.IPFamilies) == 0 {
		spec.IPFamilies = []corev1.IPFamily{primaryFamily(spec.ClusterIP, frontends, pods)}
	}
	if len(spec.IPFamilies) > 1 {
		return
	}
	if other := otherFamily(spec.IPFamilies[0]); *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack ||
		*spec.IPFamilyPolicy == corev1.IPFamilyPolicyPreferDualStack && slices.Contains(pods, other) {
		spec.IPFamilies = append(spec.IPFamilies, other)
	}
}

// primaryFamily is the first IP version of a service that names none.
func primaryFamily(clusterIP string, frontends []netip.Addr, pods []corev1.IPFamily) corev1.IPFamily {
	if a, err := netip.ParseAddr(clusterIP); err == nil {
		return familyOf(a)
	}
	if len(frontends) > 0 && frontends[0].IsValid() {
		return familyOf(frontends[0])
	}
	if len(pods) > 0 {
		return pods[0]
	}
	return corev1.IPv4Protocol
}

func hasBothFamilies(all []netip.Addr) bool {
	return like(all, netip.IPv4Unspecified()).IsValid() && like(all, netip.IPv6Unspecified()).IsValid()
}

// defaultClusterIPs gives a service an address of the cluster's own for each of its IP versions.
func defaultClusterIPs(spec *corev1.ServiceSpec, a *allocator) {
	if len(spec.ClusterIPs) == 0 && spec.ClusterIP != "" {
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
	if spec.ClusterIP == corev1.ClusterIPNone {
		return
	}
	for _, family := range spec.IPFamilies[min(len(spec.ClusterIPs), len(spec.IPFamilies)):] {
		spec.ClusterIPs = append(spec.ClusterIPs, a.clusterIP(family == corev1.IPv6Protocol))
	}
	setDefault(&spec.ClusterIP, spec.ClusterIPs[0])
}
