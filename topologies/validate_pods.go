package topologies

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

func (c *checker) pods() {
	pods := c.t.Spec.Pods
	if c.x.tooManyPods {
		c.errorf("spec.pods", "are more than %d with all replicas", MaxPods)
	}
	for i := range pods {
		p, field := &pods[i], fmt.Sprintf("spec.pods[%d]", i)
		nodes := c.x.byName[p.Node]
		total := max(p.Replicas, 1) * max(len(nodes), 1)
		c.name(field+".name", p.Name, min(total, MaxPods))
		if p.Replicas < 1 || p.Replicas > MaxPods {
			c.errorf(field+".replicas", "is %d, want 1 to %d", p.Replicas, MaxPods)
		}
		c.podNode(field, p, nodes)
		onePerFamily(c, field+".addresses", p.Addresses, sameAddr)
		c.labels(field+".labels", p.Labels)
		c.workload(field+".workload", p.Workload)
	}
	broken := map[int]bool{}
	for i := range c.x.pods {
		p := &c.x.pods[i]
		spec, field := &pods[p.spec], fmt.Sprintf("spec.pods[%d]", p.spec)
		if spec.Name != "" {
			c.unique(field+".name", p.name, "pod "+p.name)
		}
		if !broken[p.spec] {
			broken[p.spec] = !c.podAddresses(field, spec, p)
		}
	}
}

// podNode checks where a pod is to run.
func (c *checker) podNode(field string, p *PodSpec, nodes []int) {
	switch {
	case p.Node == "":
		c.errorf(field+".node", "is missing, want the name of a node")
	case len(nodes) == 0:
		if c.x.tooManyNodes {
			return // it may be among those that are missing
		}
		var known []string
		for _, n := range c.t.Spec.Nodes {
			if !n.Role.OutsideCluster() {
				known = append(known, n.Name)
			}
		}
		c.follows("spec.nodes", field+".node", "there is no node %q%s", p.Node, manifest.Suggest(p.Node, known))
	case c.roleOf(nodes[0]).OutsideCluster():
		c.errorf(field+".node", "%s is of role %s, want a node of role lb or worker", p.Node, c.roleOf(nodes[0]))
	case len(nodes) > 1 && len(p.Addresses) > 0:
		c.errorf(field+".addresses", "can't be given for pods on %d nodes", len(nodes))
	}
}

// roleOf is the role of an expanded node.
func (c *checker) roleOf(node int) Role { return c.t.Spec.Nodes[c.x.nodes[node].spec].Role }

// podAddresses checks the addresses of one pod.
func (c *checker) podAddresses(field string, spec *PodSpec, p *expandedPod) bool {
	node := &c.x.nodes[p.node]
	all := spec.Addresses
	if len(c.x.byName[spec.Node]) > 1 && len(all) > 0 {
		return true // reported elsewhere
	}
	for k, cidr := range node.podCIDRs {
		at := slices.IndexFunc(all, func(a netip.Addr) bool { return alikeFamily(a, cidr.Addr()) })
		switch {
		case !cidr.IsValid() || cidr != cidr.Masked():
			return true // reported elsewhere
		case at >= 0:
			if !c.podAddress(fmt.Sprintf("%s.addresses[%d]", field, at), p, node, cidr, p.addresses[k]) {
				return false
			}
		case len(all) > 0 && len(node.podCIDRs) == 1: // reported below
		case !p.addresses[k].IsValid():
			c.errorf(field, "node %s has no address left for pod %s in its pod CIDR %s", node.name, p.name, cidr)
			return false
		default:
			if !c.podAddress(field+".addresses", p, node, cidr, p.addresses[k]) {
				return false
			}
		}
	}
	for i, a := range all {
		if len(node.podCIDRs) > 0 && !likePrefix(node.podCIDRs, a).IsValid() {
			return c.podAddress(fmt.Sprintf("%s.addresses[%d]", field, i), p, node, node.podCIDRs[0], addAddr(a, uint64(p.replica)))
		}
	}
	return true
}

// podAddress checks an address that a pod is to have in a pod CIDR of its node.
func (c *checker) podAddress(field string, p *expandedPod, node *expandedNode, cidr netip.Prefix, a netip.Addr) bool {
	switch {
	case !cidr.Contains(a):
		c.errorf(field, "%s of pod %s is not in %s, the pod CIDR of node %s", orEnd(a), p.name, cidr, node.name)
	case !isHost(cidr, a):
		c.errorf(field, "%s is no address that a pod in %s can have", a, cidr)
	case a == firstHost(cidr):
		c.errorf(field, "%s is the pods' gateway on node %s, want another", a, node.name)
	default:
		return c.address(field, a, "pod "+p.name)
	}
	return false
}

func (c *checker) labels(field string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		at := field + "[" + key + "]"
		if len(validation.IsQualifiedName(key)) > 0 {
			c.errorf(at, "%q is no label: want letters, digits, -, _ and ., as in app, with a prefix like example.org/ if need be", key)
		}
		if value := labels[key]; len(validation.IsValidLabelValue(value)) > 0 {
			c.errorf(at, "%q is no label's value: want at most 63 letters, digits, -, _ and .", value)
		}
	}
}

func (c *checker) workload(field string, workload []WorkloadSpec) {
	ports, names := map[uint16]int{}, map[string]int{}
	for i, w := range workload {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case w.Kind == "":
			c.errorf(at+".kind", "is missing, want one of %s", strings.Join(workloadNames(), ", "))
		case !slices.Contains(WorkloadKinds(), w.Kind):
			c.errorf(at+".kind", "%q is no workload%s", w.Kind, manifest.Suggest(string(w.Kind), workloadNames()))
		}
		first, twice := ports[w.Port]
		switch {
		case w.Port == 0:
			c.errorf(at+".port", "is missing, want 1 to 65535")
		case twice:
			c.errorf(at+".port", "%d is already the port of %s[%d]", w.Port, field, first)
		default:
			ports[w.Port] = i
		}
		if w.Name == "" {
			continue
		}
		if len(validation.IsValidPortName(w.Name)) > 0 {
			c.errorf(at+".name", "%q is no port's name: want at most 15 of a-z, 0-9 and -, a letter among them", w.Name)
		} else if first, twice := names[w.Name]; twice {
			c.errorf(at+".name", "%q is already the name of %s[%d]", w.Name, field, first)
		} else {
			names[w.Name] = i
		}
	}
}
