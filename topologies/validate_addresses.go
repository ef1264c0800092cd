package topologies

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

func (s *serviceChecker) addresses() {
	for _, f := range frontendAddresses(s.Service) {
		s.frontend(f)
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		if len(vips(s.Service)) == 0 {
			s.errorf("spec.loadBalancerIP", "is missing: no cloud is here to give the service a VIP")
		}
		if !slices.ContainsFunc(s.t.Spec.Nodes, func(n NodeSpec) bool { return n.Role == RoleLB || n.Role == RoleWorker }) {
			s.errorf("spec.type", "LoadBalancer needs a node of role lb or worker")
		}
	} else if (s.internal() || s.Spec.Type == corev1.ServiceTypeNodePort) && s.Spec.LoadBalancerIP != "" {
		s.errorf("spec.loadBalancerIP", "is for type LoadBalancer, not for %s", s.Spec.Type)
	}
	s.families()
	s.clusterIPAddresses()
}

// frontend checks a VIP or an external IP. It must not be in a network: hosts there would look for it on the wire, and
// nobody has it.
func (s *serviceChecker) frontend(f frontendAddress) {
	if f.text == "" {
		s.errorf(f.field, "is missing")
		return
	}
	if !isUnicast(f.address) {
		s.errorf(f.field, "%q is no unicast IP address", f.text)
		return
	}
	if owner, taken := s.taken[f.address]; taken {
		s.errorf(f.field, "%s is already the address of %s", f.address, owner)
		return
	}
	if b, inside := s.blockOf(f.address); inside {
		s.errorf(f.field, "%s is in %s, %s: want an address outside", f.address, b.owner, b.prefix)
		return
	}
	if !s.reaches(f) {
		return
	}
	for i, p := range s.Spec.Ports {
		if p.Port == 0 {
			continue
		}
		key := fmt.Sprintf("%s %s", netip.AddrPortFrom(f.address, uint16(p.Port)), p.Protocol)
		if other, twice := s.frontends[key]; twice && other != s.field {
			s.errorf(fmt.Sprintf("spec.ports[%d].port", i), "%s is already that of %s", key, other)
		} else {
			s.frontends[key] = s.field
		}
	}
}

// reaches checks that a VIP or an external IP is of an IP version that the service, its pods and a node to enter at have.
func (s *serviceChecker) reaches(f frontendAddress) bool {
	for _, i := range s.pods {
		for _, node := range s.x.byName[s.t.Spec.Pods[i].Node] {
			if cidrs := s.x.nodes[node].podCIDRs; len(cidrs) > 0 && !likePrefix(cidrs, f.address).IsValid() {
				s.errorf(f.field, "%s is not of the same IP version as pod %s", f.address, s.t.Spec.Pods[i].Name)
				return false
			}
		}
	}
	if families := s.Spec.IPFamilies; !slices.Contains(families, familyOf(f.address)) {
		s.errorf(f.field, "%s is of %s, which is not among spec.ipFamilies: the service has %s alone", f.address, familyOf(f.address), families[0])
		return false
	}
	role, addresses := RoleLB, s.addressesOf(RoleLB)
	if len(addresses) == 0 {
		role, addresses = RoleWorker, s.addressesOf(RoleWorker)
	}
	right := !s.unsure && !slices.ContainsFunc(addresses, func(a netip.Addr) bool { return !isUnicast(a) })
	if right && len(addresses) > 0 && !like(addresses, f.address).IsValid() {
		s.errorf(f.field, "%s leads nowhere: no node of role %s has an address of %s", f.address, role, familyOf(f.address))
		return false
	}
	return true
}

// addressesOf are those of all nodes of a role.
func (s *serviceChecker) addressesOf(role Role) (all []netip.Addr) {
	for i := range s.t.Spec.Nodes {
		if n := &s.t.Spec.Nodes[i]; n.Role == role {
			all = append(all, n.Addresses...)
		}
	}
	return all
}

// families checks of which IP versions the service is.
func (s *serviceChecker) families() {
	spec := &s.Spec
	policy := *spec.IPFamilyPolicy
	oneOf(s, "spec.ipFamilyPolicy", policy, "SingleStack", "PreferDualStack", "RequireDualStack")
	pods := podFamilies(&s.t.Spec, s.Service)
	for i, family := range spec.IPFamilies {
		field := fmt.Sprintf("spec.ipFamilies[%d]", i)
		named := slices.ContainsFunc(frontendAddresses(s.Service), func(f frontendAddress) bool { // then it is reported there
			return f.address.IsValid() && familyOf(f.address) == family
		})
		switch {
		case family != corev1.IPv4Protocol && family != corev1.IPv6Protocol:
			oneOf(s, field, family, "IPv4", "IPv6")
		case slices.Contains(spec.IPFamilies[:i], family):
			s.errorf(field, "%s is there twice", family)
		case i > 0 && policy == corev1.IPFamilyPolicySingleStack:
			s.errorf(field, "%s is a second IP version, but spec.ipFamilyPolicy is SingleStack", family)
		case len(s.pods) > 0 && !named && !slices.Contains(pods, family):
			s.errorf(field, "no pod that the service selects has an address of %s", family)
		}
	}
}

func (s *serviceChecker) clusterIPAddresses() {
	if first := s.Spec.ClusterIPs[0]; s.Spec.ClusterIP != first {
		s.errorf("spec.clusterIP", "is %q, want %q, the first of spec.clusterIPs", s.Spec.ClusterIP, first)
	}
	for i, text := range s.Spec.ClusterIPs {
		if text == corev1.ClusterIPNone && s.Spec.Type == corev1.ServiceTypeClusterIP {
			continue // headless
		}
		field := fmt.Sprintf("spec.clusterIPs[%d]", i)
		if text == s.Spec.ClusterIP {
			field = "spec.clusterIP"
		}
		if a, err := netip.ParseAddr(text); err != nil || !isUnicast(a) {
			s.errorf(field, "%q is no unicast IP address", text)
		} else if i >= len(s.Spec.IPFamilies) {
			s.errorf(field, "%s is one too many: want one of each IP version at most", text)
		} else if family := s.Spec.IPFamilies[i]; family == otherFamily(familyOf(a)) {
			s.errorf(field, "%s is not of %s, as spec.ipFamilies[%d] is", text, family, i)
		} else if other, twice := s.clusterIPs[text]; twice {
			s.errorf(field, "%s is already that of %s", text, other)
		} else if b, inside := s.blockOf(a); inside {
			s.errorf(field, "%s is in %s, %s", a, b.owner, b.prefix)
		} else {
			s.clusterIPs[text] = s.field
		}
	}
}
