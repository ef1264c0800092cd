package testbed

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/internal/words"
)

// DataPath is what forwards packets on the nodes.
type DataPath string

const (
	DataPathNone      DataPath = "none"       // plain routing to the pod itself: the ceiling
	DataPathKubeProxy DataPath = "kube-proxy" // the nftables rules of kube-proxy
	DataPathDNATOnly  DataPath = "dnat-only"  // those rules without masquerading
	DataPathDSRLab    DataPath = "dsrlab"     // our own eBPF programs
)

// Variant is one way of running a lab.
type Variant struct {
	Name     string   `json:"name"`
	DataPath DataPath `json:"dataPath"`
	// Mode of services without an annotation; for dataPath dsrlab only.
	Mode services.Mode `json:"mode,omitempty"`
	// Hook on the nodes' devices towards the fabric: tc (default) or xdp; for dataPath dsrlab only.
	Hook dataplane.Hook `json:"hook,omitempty"`
	// Policy replaces the externalTrafficPolicy of all services; the empty one leaves each its own.
	Policy corev1.ServiceExternalTrafficPolicy `json:"policy,omitempty"`
	// Pods are those that are ready; without any, all are. The others run, and no service leads to them.
	Pods []string `json:"pods,omitempty"`
	// Edge is the load balancer or router in front of the LB nodes.
	Edge Edge `json:"edge,omitempty"`
	// SpoofProtection makes the fabric drop what a node sends with a source that is not its own.
	SpoofProtection bool `json:"spoofProtection,omitempty"`
	// Obstacles are what the network does to packets of DSR, as some do elsewhere: names of `dsrlab up --obstacle`.
	Obstacles []string `json:"obstacles,omitempty"`
	// Fault breaks the data path on purpose, on all nodes; for dataPath dsrlab only.
	Fault dataplane.Fault `json:"fault,omitempty"`
}

// Validate returns every error in the variant.
func (v Variant) Validate() error {
	known := []DataPath{DataPathNone, DataPathKubeProxy, DataPathDNATOnly, DataPathDSRLab}
	if !slices.Contains(known, v.DataPath) {
		return fmt.Errorf("dataPath: unknown data path %q (want one of %s)", v.DataPath, words.List(known))
	}
	if err := v.Edge.Validate(); err != nil {
		return err
	}
	policies := []corev1.ServiceExternalTrafficPolicy{"", corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal}
	if !slices.Contains(policies, v.Policy) {
		return fmt.Errorf("policy: unknown policy %q (want Cluster or Local)", v.Policy)
	}
	if v.DataPath != DataPathDSRLab {
		if v.Mode != "" || v.Hook != "" || v.Fault != dataplane.FaultNone {
			return fmt.Errorf("mode, hook, fault: only dataPath %s has them", DataPathDSRLab)
		}
		return nil
	}
	if hooks := []dataplane.Hook{"", dataplane.HookTC, dataplane.HookXDP}; !slices.Contains(hooks, v.Hook) {
		return fmt.Errorf("hook: unknown hook %q (want tc or xdp)", v.Hook)
	}
	if _, err := dataplane.ParseFault(string(v.Fault)); err != nil {
		return err
	}
	_, err := services.ParseMode(string(v.Mode))
	return err
}

// Target is where a client sends to: a port of a service, at its VIP or at the NodePort of a node. In variants whose data path
// is none, it is the service's first pod instead.
type Target struct {
	Service string `json:"service"`
	// Port is the name of the service's port.
	Port string `json:"port"`
	// Via is the node whose NodePort is called; empty: the VIP.
	Via string `json:"via,omitempty"`
}

// services are the topology's, as the variant has them.
func (v Variant) services(all []corev1.Service) []corev1.Service {
	if v.Policy == "" {
		return all
	}
	changed := make([]corev1.Service, len(all))
	for i := range all {
		all[i].DeepCopyInto(&changed[i])
		changed[i].Spec.ExternalTrafficPolicy = v.Policy
		if v.Policy != corev1.ServiceExternalTrafficPolicyLocal {
			changed[i].Spec.HealthCheckNodePort = 0 // only Local has health checks
		}
	}
	return changed
}

// endpoints are the topology's, as the variant has them.
func (v Variant) endpoints(all []discoveryv1.EndpointSlice) []discoveryv1.EndpointSlice {
	if len(v.Pods) == 0 {
		return all
	}
	changed := make([]discoveryv1.EndpointSlice, len(all))
	for i := range all {
		all[i].DeepCopyInto(&changed[i])
		changed[i].Endpoints = slices.DeleteFunc(changed[i].Endpoints, func(e discoveryv1.Endpoint) bool {
			return e.TargetRef == nil || !slices.Contains(v.Pods, e.TargetRef.Name)
		})
	}
	return changed
}
