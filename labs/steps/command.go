package steps

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
)

// request returns the command for one request, which is traced where our own data path forwards it.
func request(v testbed.Variant, plan *topologies.Plan, from string, to testbed.Target, protocol workload.Protocol) string {
	if v.DataPath == testbed.DataPathDSRLab && to.Via == "" {
		command := fmt.Sprintf("sudo dsrlab trace %s %s:%s", from, to.Service, to.Port)
		if protocol != workload.TCP {
			command += fmt.Sprintf(" --protocol %s", protocol)
		}
		return command
	}
	if address := addressOf(v, plan, to); address.IsValid() {
		return fmt.Sprintf("sudo dsrlab exec %s -- bin/labpod connect --protocol %s %v", from, protocol, address)
	}
	return ""
}

// addressOf returns the VIP that a variant's clients call, or without a data path a pod of the service; invalid if they call
// something else.
func addressOf(v testbed.Variant, plan *topologies.Plan, to testbed.Target) netip.AddrPort {
	if to.Via != "" {
		return netip.AddrPort{}
	}
	if v.DataPath == testbed.DataPathNone {
		return podOf(plan, to)
	}
	s, vips := plan.Service(to.Service), plan.VIPs(to.Service)
	if len(vips) == 0 {
		return netip.AddrPort{}
	}
	port := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == to.Port })
	if port < 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(vips[0], uint16(s.Spec.Ports[port].Port))
}

// podOf returns the address of the service's first pod.
func podOf(plan *topologies.Plan, to testbed.Target) netip.AddrPort {
	for i := range plan.EndpointSlices {
		slice := &plan.EndpointSlices[i]
		port := slices.IndexFunc(slice.Ports, func(p discoveryv1.EndpointPort) bool { return p.Name != nil && *p.Name == to.Port })
		if slice.Labels[discoveryv1.LabelServiceName] != to.Service || port < 0 || len(slice.Endpoints) == 0 {
			continue
		}
		if pod, err := netip.ParseAddr(slice.Endpoints[0].Addresses[0]); err == nil && slice.Ports[port].Port != nil {
			return netip.AddrPortFrom(pod, uint16(*slice.Ports[port].Port))
		}
	}
	return netip.AddrPort{}
}
