package baseline

import (
	"net/netip"
	"slices"
)

// plan is the tables of a checked configuration: one for IPv4, and one for IPv6 if any frontend is of it.
func plan(config *Config) []*ruleset {
	if config.Form == FormNone {
		return nil
	}
	var all []*ruleset
	for _, f := range []family{{is6: false}, {is6: true}} {
		ports := config.servicePorts(f)
		if f.is6 && len(ports) == 0 {
			continue
		}
		r := newRuleset(config.Form, f, config.NodeAddresses)
		p := &planner{ruleset: r, masquerades: config.Form == FormKubeProxy}
		for _, prefix := range config.PodCIDRs {
			if f.has(prefix.Addr()) {
				p.podCIDRs = append(p.podCIDRs, prefix.Masked())
			}
		}
		for _, port := range ports {
			p.add(port)
		}
		all = append(all, r)
	}
	return all
}

// planner fills a ruleset with the chains of service ports.
type planner struct {
	*ruleset
	masquerades bool
	podCIDRs    []netip.Prefix
}

// add makes all that a service port needs.
func (p *planner) add(s *servicePort) {
	name := servicePortName(s.service, s.protocol, s.portName)
	clusterChain, localChain, externalChain := prefixCluster+name, prefixLocal+name, prefixExternal+name

	internalChain, hasInternal := clusterChain, len(s.cluster) > 0
	if s.internalLocal {
		internalChain, hasInternal = localChain, len(s.local) > 0
	}
	policyChain, hasExternal := clusterChain, len(s.cluster) > 0
	if s.externalLocal {
		policyChain, hasExternal = localChain, len(s.local) > 0
	}
	p.captureInternal(s, internalChain, hasInternal)
	p.captureExternal(s, name, externalChain, hasExternal)

	if hasInternal && len(s.clusterIPs) > 0 {
		p.masqueradeOffCluster(s, internalChain)
	}
	if s.externallyAccessible() && len(s.cluster) > 0 {
		p.addExternalChain(s, externalChain, clusterChain)
		if hasExternal {
			p.chain(externalChain).add(goTo(policyChain))
		}
	}
	var used []netip.AddrPort
	if len(s.cluster) > 0 && (!s.internalLocal || s.externallyAccessible()) {
		p.addChoice(s, clusterChain, s.cluster)
		used = append(used, s.cluster...)
	}
	if len(s.local) > 0 && (s.internalLocal || s.externalLocal && s.externallyAccessible()) {
		p.addChoice(s, localChain, s.local)
		used = append(used, s.local...)
	}
	slices.SortFunc(used, netip.AddrPort.Compare)
	for _, endpoint := range slices.Compact(used) {
		p.addEndpoint(s, endpoint)
	}
}

// captureInternal directs the ClusterIPs to their chain, or says why not: no endpoints at all, or none that the policy allows.
func (p *planner) captureInternal(s *servicePort, chain string, reachable bool) {
	for _, address := range s.clusterIPs {
		p.put(setClusterIPs, element{address: address})
		at := element{address: address, protocol: s.protocol, port: s.port}
		if reachable {
			at.verdict = goTo(chain)
			p.put(mapServiceIPs, at)
		} else {
			at.comment, at.verdict = s.name(), s.refusal()
			p.put(mapNoEndpointServices, at)
		}
	}
}

// captureExternal directs VIPs, external addresses and NodePort to the external chain. Where the policy allows no endpoint it
// refuses as well: the external chain may still have endpoints for clients on this node.
func (p *planner) captureExternal(s *servicePort, name, chain string, reachable bool) {
	for _, address := range s.external {
		at := element{address: address, protocol: s.protocol, port: s.port}
		if len(s.cluster) > 0 {
			at.verdict = goTo(chain)
			p.put(mapServiceIPs, at)
		}
		if !reachable {
			at.comment, at.verdict = s.name(), s.refusal()
			p.put(mapNoEndpointServices, at)
		}
	}
	if s.nodePort != 0 {
		at := element{protocol: s.protocol, port: s.nodePort}
		if len(s.cluster) > 0 {
			at.verdict = goTo(chain)
			p.put(mapNodePorts, at)
		}
		if !reachable {
			at.comment, at.verdict = s.name(), s.refusal()
			p.put(mapNoEndpointNodePorts, at)
		}
	}
	if len(s.sourceRanges) > 0 && len(s.vips) > 0 {
		p.addFirewall(s, prefixFirewall+name)
	}
}

// addFirewall drops what comes to the VIPs from elsewhere than the source ranges.
func (p *planner) addFirewall(s *servicePort, chain string) {
	for _, address := range s.vips {
		p.put(mapFirewallIPs, element{address: address, protocol: s.protocol, port: s.port, comment: s.name(), verdict: goTo(chain)})
	}
	var ranges []netip.Prefix
	for _, prefix := range s.sourceRanges {
		if p.family.has(prefix.Addr()) {
			ranges = append(ranges, prefix)
		}
	}
	if ranges = disjoint(ranges); len(ranges) > 0 {
		p.chain(chain).add(inPrefixes{side: source, not: true, prefixes: ranges}, drop())
	} else {
		p.chain(chain).add(drop())
	}
}

// masqueradeOffCluster masquerades what comes to a ClusterIP from outside the cluster, as it may leave this node again.
func (p *planner) masqueradeOffCluster(s *servicePort, chain string) {
	if !p.masquerades || len(p.podCIDRs) == 0 {
		return
	}
	for _, address := range s.clusterIPs {
		p.chain(chain).add(
			inPrefixes{side: destination, prefixes: []netip.Prefix{netip.PrefixFrom(address, address.BitLen())}},
			toPort{s.protocol, s.port},
			inPrefixes{side: source, not: true, prefixes: p.podCIDRs},
			jump(chainMark))
	}
}

// addExternalChain makes the chain of requests from outside, up to where it goes to the chain of its policy. With policy
// Cluster the pod may be on another node, so the source is translated. With policy Local it is kept; requests from this node
// itself are not bound by the policy, as if they had gone out to a load balancer and come back.
func (p *planner) addExternalChain(s *servicePort, chain, clusterChain string) {
	c := p.chain(chain)
	if !s.externalLocal {
		if p.masquerades {
			c.add(jump(chainMark))
		}
		return
	}
	if len(p.podCIDRs) > 0 {
		c.addCommented("short-circuit pod traffic", inPrefixes{side: source, prefixes: p.podCIDRs}, goTo(clusterChain))
	}
	if p.masquerades {
		c.addCommented("masquerade local traffic", sourceLocal{}, jump(chainMark))
	}
	c.addCommented("short-circuit local traffic", sourceLocal{}, goTo(clusterChain))
}

// addChoice makes a chain choose among endpoints: the one that the client had before, with affinity, or one at random.
func (p *planner) addChoice(s *servicePort, chain string, endpoints []netip.AddrPort) {
	c := p.chain(chain)
	targets := make([]string, len(endpoints))
	for i, endpoint := range endpoints {
		name := endpointName(s.service, s.protocol, s.portName, endpoint)
		targets[i] = prefixEndpoint + name
		if s.affinity > 0 {
			c.add(inSet{source, prefixAffinity + name}, goTo(targets[i]))
		}
	}
	c.add(choose{targets})
}

// addEndpoint makes the chain that translates to one endpoint. A pod that reaches itself through a service is masqueraded, or
// it would answer itself past the translation.
func (p *planner) addEndpoint(s *servicePort, endpoint netip.AddrPort) {
	name := endpointName(s.service, s.protocol, s.portName, endpoint)
	c := p.chain(prefixEndpoint + name)
	if p.masquerades {
		itself := netip.PrefixFrom(endpoint.Addr(), endpoint.Addr().BitLen())
		c.add(inPrefixes{side: source, prefixes: []netip.Prefix{itself}}, jump(chainMark))
	}
	if s.affinity > 0 {
		p.sets = append(p.sets, &set{name: prefixAffinity + name, key: keyAddress, timeout: s.affinity})
		c.add(remember{prefixAffinity + name})
	}
	c.add(translateTo{s.protocol, endpoint})
}

// put adds an element to a set. Of two with one key (two ports of a service share its ClusterIP) it keeps the first.
func (p *planner) put(name string, e element) { p.set(name).put(e) }

// name is NAMESPACE/NAME:PORT, as in kube-proxy's comments.
func (s *servicePort) name() string {
	if s.portName == "" {
		return s.service
	}
	return s.service + ":" + s.portName
}

// refusal is what happens where no endpoint can be reached: drop if another node has some, so that load balancers try
// there; reject if there is none anywhere.
func (s *servicePort) refusal() verdict {
	if len(s.cluster) > 0 {
		return drop()
	}
	return goTo(chainReject)
}

// disjoint orders prefixes and leaves out those that lie in others.
func disjoint(prefixes []netip.Prefix) []netip.Prefix {
	sorted := slices.Clone(prefixes)
	slices.SortFunc(sorted, func(a, b netip.Prefix) int {
		if order := a.Addr().Compare(b.Addr()); order != 0 {
			return order
		}
		return a.Bits() - b.Bits()
	})
	var kept []netip.Prefix
	for _, prefix := range sorted {
		if len(kept) == 0 || !kept[len(kept)-1].Overlaps(prefix) {
			kept = append(kept, prefix)
		}
	}
	return kept
}
