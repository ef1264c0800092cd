package topologies

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

func (c *checker) nodes() {
	nodes := c.t.Spec.Nodes
	if len(nodes) == 0 {
		c.errorf("spec.nodes", "is missing, want at least one node")
	}
	if c.x.tooManyNodes {
		c.errorf("spec.nodes", "are more than %d with all replicas", MaxNodes)
	}
	for i := range nodes {
		n, field := &nodes[i], fmt.Sprintf("spec.nodes[%d]", i)
		c.name(field+".name", n.Name, n.Replicas)
		c.role(field, n)
		if n.Replicas < 1 || n.Replicas > MaxNodes {
			c.errorf(field+".replicas", "is %d, want 1 to %d", n.Replicas, MaxNodes)
		}
		if len(n.Addresses) == 0 {
			c.errorf(field+".addresses", "is missing, want a list of one IP address in one of the networks, or of one of each IP version")
		}
		onePerFamily(c, field+".addresses", n.Addresses, sameAddr)
		c.nodeLabels(field+".labels", n)
		c.link(field+".link", &n.Link, linkMTU(&c.t.Spec, n))
	}
	c.onePerEdge()
	broken := map[string]bool{} // one error of a kind for each NodeSpec is enough
	for i := range c.x.nodes {
		n := &c.x.nodes[i]
		field := fmt.Sprintf("spec.nodes[%d]", n.spec)
		if nodes[n.spec].Name != "" {
			c.unique(field+".name", n.name, "node "+n.name)
		}
		for k, first := range nodes[n.spec].Addresses {
			if at := fmt.Sprintf("%s.addresses[%d]", field, k); !broken[at] {
				broken[at] = !c.nodeAddress(at, first, n, k)
			}
		}
	}
}

func (c *checker) role(field string, n *NodeSpec) {
	switch n.Role {
	case RoleClient, RoleNLB, RoleRouter:
		if len(n.PodCIDRs) > 0 {
			c.errorf(field+".podCIDRs", "nodes of role %s have no pods, want none", n.Role)
		}
	case RoleLB, RoleWorker:
		c.podCIDRs(field, n)
	case "":
		c.errorf(field+".role", "is missing, want client, lb, worker, nlb or router")
	default:
		c.errorf(field+".role", "%q is no role%s", n.Role, manifest.Suggest(string(n.Role), []string{"client", "lb", "worker", "nlb", "router"}))
	}
}

// nodeLabels checks that a node of the cluster can have its labels, whatever it is built from.
func (c *checker) nodeLabels(field string, n *NodeSpec) {
	if len(n.Labels) > 0 && n.Role != RoleLB && n.Role != RoleWorker && n.Role != "" {
		c.errorf(field, "nodes of role %s are none of the cluster, want none", n.Role)
		return
	}
	c.labels(field, n.Labels)
	for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
		if domain, _, _ := strings.Cut(key, "/"); isSystemDomain(domain) && key != corev1.LabelTopologyZone && key != corev1.LabelTopologyRegion {
			c.errorf(field+"["+key+"]", "a kubelet may not set labels of %s, want topology.kubernetes.io/zone, topology.kubernetes.io/region, or a domain of your own", domain)
		}
	}
}

// isSystemDomain reports whether labels of a domain are for Kubernetes and this program themselves.
func isSystemDomain(domain string) bool {
	return slices.ContainsFunc([]string{"kubernetes.io", "k8s.io", "dsrlab.dev"}, func(system string) bool {
		return domain == system || strings.HasSuffix(domain, "."+system)
	})
}

// onePerEdge checks that there is at most one network load balancer, and one router: there is one way to the LB nodes at a time.
func (c *checker) onePerEdge() {
	first := map[Role]string{}
	for i := range c.x.nodes {
		n := &c.x.nodes[i]
		role := c.roleOf(i)
		if !role.isEdge() {
			continue
		}
		if other, twice := first[role]; twice {
			c.errorf(fmt.Sprintf("spec.nodes[%d].role", n.spec), "%s is a second node of role %s, beside %s, want one at most", n.name, role, other)
			return
		}
		first[role] = n.name
	}
}

// podCIDRs checks that a node has one for each IP version of its addresses.
func (c *checker) podCIDRs(field string, n *NodeSpec) {
	field += ".podCIDRs"
	onePerFamily(c, field, n.PodCIDRs, netip.Prefix.Addr)
	for i, p := range n.PodCIDRs {
		at := fmt.Sprintf("%s[%d]", field, i)
		c.subnet(at, p)
		if p.IsValid() && len(n.Addresses) > 0 && isUnicast(n.Addresses[0]) && !like(n.Addresses, p.Addr()).IsValid() {
			c.errorf(at, "%s is not of the same IP version as the node's address %s", p, n.Addresses[0])
		}
	}
	for _, a := range n.Addresses {
		if a.IsValid() && !likePrefix(n.PodCIDRs, a).IsValid() && len(n.PodCIDRs) < len(n.Addresses) {
			c.errorf(field, "is missing, and too few subnets of %s are free", podPool(a))
		}
	}
}

func podPool(a netip.Addr) string {
	if a.Is4() {
		return podPool4
	}
	return podPool6
}

// nodeAddress checks an address of one replica, of which the file gives the first one's.
func (c *checker) nodeAddress(field string, first netip.Addr, n *expandedNode, index int) bool {
	a := n.addresses[index]
	shown := orMissing(a)
	if a != first {
		shown = fmt.Sprintf("%s of replica %s", orEnd(a), n.name)
	}
	if !isUnicast(a) {
		c.errorf(field, "%s is no unicast address", shown)
		return false
	}
	if c.unsure {
		return true
	}
	network, subnet, ok := c.networkOf(a)
	primary, _, primaryOK := c.networkOf(n.addresses[0])
	switch {
	case !ok:
		c.errorf(field, "%s is in none of the networks", shown)
	case !isHost(subnet, a):
		c.errorf(field, "%s is no address that a host of network %s (%s) can have", shown, network.Name, subnet)
	case primaryOK && primary != network:
		c.errorf(field, "%s is in network %s, and %s in network %s: a node has one wire, want both in one network",
			shown, network.Name, n.addresses[0], primary.Name)
	case c.taken[a] != "":
		c.errorf(field, "%s is already the address of %s", shown, c.taken[a])
	default:
		c.taken[a] = "node " + n.name
		return true
	}
	return false
}

// orEnd prints an address that may be beyond the last one.
func orEnd(a netip.Addr) string {
	if !a.IsValid() {
		return "the address beyond the last one"
	}
	return a.String()
}

// networkOf is the network that an address is in, and which of its subnets.
func (c *checker) networkOf(a netip.Addr) (*NetworkSpec, netip.Prefix, bool) {
	for i := range c.t.Spec.Networks {
		n := &c.t.Spec.Networks[i]
		if subnet, ok := n.contains(a); ok {
			return n, subnet, true
		}
	}
	return nil, netip.Prefix{}, false
}
