package assess

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Effect is how a service behaves differently under DSR because of one of its fields, or why it does not.
type Effect struct {
	// Field is the field's path in the Service, or what else it follows from.
	Field string `json:"field"`
	// Value is what the field has.
	Value string `json:"value"`
	// Changes reports whether anything is different under DSR.
	Changes bool `json:"changes"`
	// Effect is what, in a sentence.
	Effect string `json:"effect"`
}

// Bytes that Geneve with and without the DSR option adds to a forwarded request, over IPv4 and IPv6: outer IP and UDP header, Geneve
// header, inner Ethernet header; the option is an address, a port and padding behind 4 bytes of its own header.
const (
	geneve4, geneve6 = 50, 70
	option4, option6 = 12, 24
)

func nameOf(s corev1.Service) string { return cmp.Or(s.Namespace, "default") + "/" + s.Name }

func sortedServices(all []Service) []Service {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b Service) int { return cmp.Compare(nameOf(a.Service), nameOf(b.Service)) })
	return sorted
}

// ownAddresses are all that is known of the nodes' addresses.
func (o *Observations) ownAddresses() map[netip.Addr]bool {
	own := map[netip.Addr]bool{}
	for _, a := range o.NodeAddresses {
		own[a.Unmap()] = true
	}
	for _, n := range o.Nodes {
		for _, p := range n.Addresses {
			own[p.Addr().Unmap()] = true
		}
		for _, a := range n.ExternalAddresses {
			own[a.Unmap()] = true
		}
	}
	for _, p := range o.WayIn {
		if p.Frontend.Kind == NodeAddress {
			own[p.Frontend.Address.Addr().Unmap()] = true
		}
	}
	return own
}

// vipsOf are the addresses of a service that are no node's, whose own ones are given.
func vipsOf(s corev1.Service, own map[netip.Addr]bool) []netip.Addr {
	texts := slices.Clone(s.Spec.ExternalIPs)
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		texts = append(texts, s.Spec.LoadBalancerIP)
		for _, i := range s.Status.LoadBalancer.Ingress {
			texts = append(texts, i.IP)
		}
	}
	var all []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil && !own[a.Unmap()] && !slices.Contains(all, a.Unmap()) {
			all = append(all, a.Unmap())
		}
	}
	return all
}

func protocolsOf(s corev1.Service) []string {
	var all []string
	for _, p := range s.Spec.Ports {
		all = appendNew(all, string(cmp.Or(p.Protocol, corev1.ProtocolTCP)))
	}
	slices.Sort(all)
	return all
}

// fromOutside reports whether clients outside the cluster can call the service.
func fromOutside(s corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer || len(s.Spec.ExternalIPs) > 0
}

// answersAcrossNodes reports whether a pod may answer a call that another node received: what DSR is about.
func answersAcrossNodes(s Service) bool {
	return fromOutside(s.Service) && s.Service.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal
}

// effectsOf are the differences that DSR makes to a service, in the order in which the Service has the fields.
func effectsOf(s Service, o Observations, own map[netip.Addr]bool) []Effect {
	spec := s.Service.Spec
	kind := cmp.Or(string(spec.Type), string(corev1.ServiceTypeClusterIP))
	if !fromOutside(s.Service) {
		return []Effect{{Field: "spec.type", Value: kind, Effect: "Calls from within the cluster keep their way: DSR changes nothing."}}
	}
	if !answersAcrossNodes(s) {
		return []Effect{{Field: "spec.externalTrafficPolicy", Value: "Local", Effect: "Only pods of the node that was called answer, and they see the client already: DSR changes nothing. " +
			"With Cluster it would keep the client's address, too, and use the pods of all nodes."}}
	}
	effects := []Effect{
		{Field: "spec.externalTrafficPolicy", Value: "Cluster", Changes: true, Effect: "Pods see the client's address instead of a node's. " +
			"NetworkPolicies, allow lists and rate limits of the pods that are written for the nodes' addresses have to change."},
		{Field: "spec.type", Value: kind, Changes: true, Effect: typeEffect(s.Service, own)},
	}
	effects = append(effects, portEffects(s)...)
	effects = append(effects, s.endpointEffects(o)...)
	if spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		effects = append(effects, Effect{Field: "spec.sessionAffinity", Value: "ClientIP", Effect: "The pod is chosen by the client's address where the request enters, as before."})
	}
	if len(spec.LoadBalancerSourceRanges) > 0 {
		effects = append(effects, Effect{Field: "spec.loadBalancerSourceRanges", Value: strings.Join(spec.LoadBalancerSourceRanges, ", "),
			Effect: "They are checked where the request enters, as before."})
	}
	if len(spec.IPFamilies) > 1 {
		effects = append(effects, Effect{Field: "spec.ipFamilies", Value: "dual stack", Changes: true,
			Effect: "Each family has its own way back, and is judged for itself."})
	}
	return effects
}

func typeEffect(s corev1.Service, own map[netip.Addr]bool) string {
	if len(vipsOf(s, own)) == 0 {
		return "Replies carry the address of the node that was called, but come from another: filters that know which node has which address drop them."
	}
	return "Replies carry the VIP, but come from the pod's node: every node that has a pod must be allowed to send with it."
}

func portEffects(s Service) []Effect {
	var effects []Effect
	protocols := protocolsOf(s.Service)
	if slices.Contains(protocols, "TCP") {
		effects = append(effects, Effect{Field: "spec.ports", Value: "TCP", Changes: true, Effect: fmt.Sprintf(
			"Requests cross between nodes in Geneve, which takes %d bytes of the MTU (IPv6 %d), with the first packet's option %d (%d): the client's segment size has to be clamped by as much. Replies are not encapsulated.",
			geneve4, geneve6, geneve4+option4, geneve6+option6)})
	}
	if slices.Contains(protocols, "UDP") {
		effects = append(effects, Effect{Field: "spec.ports", Value: "UDP", Changes: true, Effect: fmt.Sprintf(
			"Every request carries the option: those that leave less than %d bytes of the MTU (IPv6 %d) must be fragmented, or are refused with an ICMP error.",
			geneve4+option4, geneve6+option6)})
	}
	if slices.Contains(protocols, "SCTP") {
		effects = append(effects, Effect{Field: "spec.ports", Value: "SCTP", Effect: "DSR is for TCP and UDP: SCTP keeps its way."})
	}
	if len(s.HostPorts) > 0 {
		effects = append(effects, Effect{Field: "hostPort", Value: fmt.Sprint(s.HostPorts), Effect: "Calls to a host port reach the node's own pod without the service: DSR changes nothing about them."})
	}
	if s.HostNetwork {
		effects = append(effects, Effect{Field: "hostNetwork", Value: "true", Changes: true,
			Effect: "Replies of pods in the host network leave by the node's own stack: a data path that rewrites replies at the pod's interface misses them."})
	}
	return effects
}

// endpointEffects says how many requests cross nodes. Where all nodes are called evenly that does not depend on where the pods are: a
// request meets its own node's pods with the chance that a pod is there, and these chances add up to one.
func (s Service) endpointEffects(o Observations) []Effect {
	all := o.clusterSize()
	effect := Effect{Field: "endpoints", Value: "not known", Changes: all > 1, Effect: fmt.Sprintf(
		"If all nodes are called evenly, %.0f %% of requests are for a pod on another node, whose replies then take the direct way.", 100*crossing(all))}
	if s.Endpoints == nil {
		return []Effect{effect}
	}
	pods, nodes := 0, 0
	for _, n := range s.Endpoints {
		pods += n
		if n > 0 {
			nodes++
		}
	}
	if pods == 0 {
		return []Effect{{Field: "endpoints", Value: "none", Effect: "There is no ready pod: nobody answers, with or without DSR."}}
	}
	effect.Value = fmt.Sprintf("%d on %d of %d nodes", pods, nodes, all)
	return []Effect{effect}
}

// crossing is the share of requests that are answered on another node than was called, of n nodes that are called evenly.
func crossing(n int) float64 {
	if n == 0 {
		return 0
	}
	return 1 - 1/float64(n)
}
