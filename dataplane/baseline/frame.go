package baseline

import "net/netip"

// Priorities of base chains (enum nf_ip_hook_priorities): rules that filter by what clients send run before DNAT.
const (
	priorityPreDNAT = -110
	priorityDNAT    = -100
	priorityFilter  = 0
	prioritySNAT    = 100
)

// newRuleset makes the part of a table that is there whatever the services are.
func newRuleset(form Form, f family, nodeAddresses []netip.Addr) *ruleset {
	r := &ruleset{family: f, table: string(form), sets: []*set{
		{name: setClusterIPs, key: keyAddress, comment: "Active ClusterIPs"},
		{name: setNodePortIPs, key: keyAddress, comment: "IPs that accept NodePort traffic"},
		{name: mapFirewallIPs, key: keyService, verdicts: true, comment: "destinations that are subject to LoadBalancerSourceRanges"},
		{name: mapNoEndpointNodePorts, key: keyNodePort, verdicts: true, comment: "vmap to drop or reject packets to service nodeports with no endpoints"},
		{name: mapNoEndpointServices, key: keyService, verdicts: true, comment: "vmap to drop or reject packets to services with no endpoints"},
		{name: mapServiceIPs, key: keyService, verdicts: true, comment: "ClusterIP, ExternalIP and LoadBalancer IP traffic"},
		{name: mapNodePorts, key: keyNodePort, verdicts: true, comment: "NodePort traffic"},
	}}
	for _, address := range nodeAddresses {
		if f.has(address) {
			r.set(setNodePortIPs).put(element{address: address})
		}
	}
	r.addBaseChains()
	if form == FormKubeProxy {
		r.addMasquerading()
	}
	r.addDispatch()
	return r
}

// addBaseChains makes the chains that packets enter by themselves. The filter chains see new connections only, and NAT chains do
// by nature, so that the packets of a running transfer meet no rule but "ct state new".
func (r *ruleset) addBaseChains() {
	for _, c := range []struct {
		name, kind, hook string
		priority         int
		jumps            []string
	}{
		{chainFilterPrerouting, "filter", "prerouting", priorityPreDNAT, []string{chainFirewall}},
		{chainFilterOutputPre, "filter", "output", priorityPreDNAT, []string{chainFirewall}},
		{chainFilterInput, "filter", "input", priorityFilter, []string{chainNodePortEndpoints, chainServiceEndpoints}},
		{chainFilterForward, "filter", "forward", priorityFilter, []string{chainServiceEndpoints, chainClusterIPs}},
		{chainFilterOutput, "filter", "output", priorityFilter, []string{chainServiceEndpoints, chainClusterIPs}},
		{chainNATPrerouting, "nat", "prerouting", priorityDNAT, []string{chainServices}},
		{chainNATOutput, "nat", "output", priorityDNAT, []string{chainServices}},
	} {
		base := r.chain(c.name)
		base.hook = &hook{c.kind, c.hook, c.priority}
		for _, target := range c.jumps {
			if c.kind == "nat" {
				base.add(jump(target))
			} else {
				base.add(connectionNew{}, jump(target))
			}
		}
	}
}

// addMasquerading makes the chain that marks packets, and the one that gives marked connections this node's address.
func (r *ruleset) addMasquerading() {
	postrouting := r.chain(chainNATPostrouting)
	postrouting.hook = &hook{"nat", "postrouting", prioritySNAT}
	postrouting.add(jump(chainMasquerade))
	r.chain(chainMark).add(mark{})
	masquerading := r.chain(chainMasquerade)
	masquerading.add(unmarked{}, returnVerdict())
	masquerading.add(unmark{})
	masquerading.add(masquerade{})
}

// addDispatch makes the chains that look a packet's destination up.
func (r *ruleset) addDispatch() {
	services := r.chain(chainServices)
	services.add(lookUp{keyService, mapServiceIPs})
	services.add(inSet{destination, setNodePortIPs}, lookUp{keyNodePort, mapNodePorts})

	r.chain(chainServiceEndpoints).add(lookUp{keyService, mapNoEndpointServices})
	r.chain(chainNodePortEndpoints).add(inSet{destination, setNodePortIPs}, lookUp{keyNodePort, mapNoEndpointNodePorts})
	r.chain(chainReject).add(reject{})
	r.chain(chainFirewall).add(lookUp{keyService, mapFirewallIPs})
	r.chain(chainClusterIPs).addCommented("Reject traffic to invalid ports of ClusterIPs", inSet{destination, setClusterIPs}, reject{})
}
