package ui

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/dsrlab/dsrlab/topologies"
)

// portOf is the TCP port of a service whose pods run a workload of a kind.
func portOf(plan *topologies.Plan, service *corev1.Service, kind topologies.WorkloadKind) (uint16, bool) {
	if len(plan.VIPs(service.Name)) == 0 || len(service.Spec.Selector) == 0 {
		return 0, false
	}
	for _, pod := range plan.Pods {
		if !selects(service.Spec.Selector, pod.Labels) {
			continue
		}
		for _, w := range pod.Workload {
			i := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool {
				return (p.Protocol == corev1.ProtocolTCP || p.Protocol == "") && leadsTo(p, w)
			})
			if w.Kind == kind && i >= 0 {
				return uint16(service.Spec.Ports[i].Port), true
			}
		}
	}
	return 0, false
}

func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return true
}

// leadsTo reports whether a service's port is that of a workload, by name or number.
func leadsTo(p corev1.ServicePort, w topologies.WorkloadSpec) bool {
	switch {
	case p.TargetPort.Type == intstr.String:
		return p.TargetPort.StrVal == w.Name && w.Name != ""
	case p.TargetPort.IntVal != 0:
		return uint16(p.TargetPort.IntVal) == w.Port
	}
	return uint16(p.Port) == w.Port
}

// frontendsOf are the VIPs of a service with each of its ports once.
func frontendsOf(plan *topologies.Plan, service *corev1.Service) []netip.AddrPort {
	all := []netip.AddrPort{}
	for _, vip := range plan.VIPs(service.Name) {
		for _, p := range service.Spec.Ports {
			if a := netip.AddrPortFrom(vip, uint16(p.Port)); !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}

// target is the frontend of a service whose pods run a workload of a kind.
func (l *Live) target(name string, kind topologies.WorkloadKind) (netip.AddrPort, error) {
	plan := l.Plan()
	service := plan.Service(name)
	if service == nil {
		return netip.AddrPort{}, refuse("service: unknown service %q", name)
	}
	port, ok := portOf(plan, service, kind)
	if !ok {
		return netip.AddrPort{}, refuse("service: %s has no port of a %s server", name, kind)
	}
	return netip.AddrPortFrom(plan.VIPs(name)[0], port), nil
}
