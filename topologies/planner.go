package topologies

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// MaxFullMesh is up to how many nodes all nodes of a network know each other, by neighbour entries and by routes to their
// pods. Larger topologies leave both to the fabric: a million routes would take longer than all the rest.
const MaxFullMesh = 32

// PlanOf returns all that a substrate has to make for a topology. What the topology leaves open gets its default; the topology itself
// is not changed. Everything that is wrong with it is returned at once, as manifest.Errors in the order of the file that it was read from.
func PlanOf(topology *Topology) (*Plan, error) {
	t := clone(topology)
	var x *expansion
	err := tooMany(t)
	if err == nil {
		Default(t)
		x, err = validate(t)
	}
	if err != nil {
		if t.positions != nil {
			err = t.positions.Merge(nil, err)
		}
		return nil, err
	}
	hash, err := hashOf(t)
	if err != nil {
		return nil, err
	}
	p := &planner{t: t, x: x, Plan: Plan{
		Name: t.Metadata.Name, Hash: hash, Substrate: t.Spec.Substrate, CongestionControl: t.Spec.CongestionControl, MTU: t.Spec.MTU,
		Networks: []Network{}, Nodes: []Node{}, Pods: []Pod{}, FabricRoutes: []Route{}, Services: t.Spec.Services,
	}}
	p.networks()
	p.nodes()
	p.nodeRoutes()
	p.pods()
	p.fabricRoutes()
	p.EndpointSlices = p.endpointSlices()
	if p.Services == nil {
		p.Services = []corev1.Service{}
	}
	return &p.Plan, nil
}

// clone is a copy that shares nothing which Default or a plan changes.
func clone(t *Topology) *Topology {
	c := *t
	s := &c.Spec
	s.Networks = slices.Clone(s.Networks)
	s.Nodes = slices.Clone(s.Nodes)
	for i := range s.Nodes {
		l := &s.Nodes[i].Link
		l.Shape = l.clone()
		for _, way := range []**Shape{&l.ToNode, &l.FromNode} {
			if *way != nil {
				shape := (*way).clone()
				*way = &shape
			}
		}
	}
	s.Pods = slices.Clone(s.Pods)
	for i := range s.Pods {
		s.Pods[i].Labels = maps.Clone(s.Pods[i].Labels)
		s.Pods[i].Workload = slices.Clone(s.Pods[i].Workload)
	}
	s.Services = slices.Clone(s.Services)
	for i := range s.Services {
		s.Services[i] = *s.Services[i].DeepCopy()
	}
	return &c
}

func (s *Shape) clone() Shape {
	c := *s
	if s.Overhead != nil {
		overhead := *s.Overhead
		c.Overhead = &overhead
	}
	return c
}

// hashOf identifies what a topology builds: all of it, defaults included, but its description. Field order and map order
// in JSON are fixed.
func hashOf(t *Topology) (string, error) {
	content := *t
	content.Metadata.Description = ""
	data, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("hash topology %s: %w", t.Metadata.Name, err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// planner is the state of one PlanOf.
type planner struct {
	Plan
	t     *Topology
	x     *expansion
	zones map[string]string // of nodes that have one, by their names
}

func (p *planner) networks() {
	for i := range p.t.Spec.Networks {
		n := &p.t.Spec.Networks[i]
		network := Network{Name: n.Name, Subnets: slices.Clone(n.Subnets), MTU: n.MTU}
		for _, subnet := range n.Subnets {
			network.Gateways = append(network.Gateways, n.gateway(subnet))
		}
		network.MAC = macOf(macOwn, network.Gateways[0])
		p.Networks = append(p.Networks, network)
	}
}

func (p *planner) nodes() {
	for i, n := range p.x.nodes {
		spec := &p.t.Spec.Nodes[n.spec]
		at := slices.IndexFunc(p.t.Spec.Networks, func(n2 NetworkSpec) bool { _, in := n2.contains(n.addresses[0]); return in })
		network := &p.t.Spec.Networks[at]
		node := Node{
			Name: n.name, Role: spec.Role, Network: network.Name, MAC: macOf(macOwn, n.addresses[0]), PodCIDRs: n.podCIDRs, Labels: spec.Labels,
			Port: deviceName("p-", n.name, i, 13), ToNode: spec.Link.direction(spec.Link.ToNode), FromNode: spec.Link.direction(spec.Link.FromNode),
		}
		for _, a := range n.addresses {
			subnet, _ := network.contains(a)
			node.Addresses = append(node.Addresses, netip.PrefixFrom(a, subnet.Bits()))
			node.Gateways = append(node.Gateways, network.gateway(subnet))
		}
		p.Nodes = append(p.Nodes, node)
	}
}

// direction is the shape of one direction of a link whose defaults are filled in.
func (l *LinkSpec) direction(own *Shape) Shape {
	switch {
	case own != nil:
		return own.clone()
	case l.Rate == 0:
		return Shape{} // what else is there is for the other direction to take over
	}
	return l.clone()
}

// nodeRoutes gives every node its routes and neighbours.
func (p *planner) nodeRoutes() {
	byNetwork := map[string][]int{}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if len(p.Nodes) <= MaxFullMesh || n.Role == RoleLB {
			byNetwork[n.Network] = append(byNetwork[n.Network], i)
		}
	}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		fabric := p.NetworkOf(n).MAC
		for _, gateway := range n.Gateways {
			n.Routes = append(n.Routes, Route{Destination: defaultRoute(gateway), Via: []netip.Addr{gateway}})
			n.Neighbours = append(n.Neighbours, Neighbour{Address: gateway, MAC: fabric})
		}
		for _, j := range byNetwork[n.Network] {
			if i != j {
				p.addPeer(n, &p.Nodes[j])
			}
		}
		sortRoutes(n.Routes)
		slices.SortFunc(n.Neighbours, func(a, b Neighbour) int { return a.Address.Compare(b.Address) })
	}
}

// addPeer gives a node the neighbour entries and routes of another node of its network, for all IP versions that both have.
func (p *planner) addPeer(n, other *Node) {
	for _, address := range other.Addresses {
		if n.AddressFor(address.Addr()).IsValid() {
			n.Neighbours = append(n.Neighbours, Neighbour{Address: address.Addr(), MAC: other.MAC})
		}
	}
	if len(p.Nodes) > MaxFullMesh || n.Role.OutsideCluster() {
		return
	}
	for _, cidr := range other.PodCIDRs {
		if n.AddressFor(cidr.Addr()).IsValid() {
			n.Routes = append(n.Routes, Route{Destination: cidr, Via: []netip.Addr{other.AddressFor(cidr.Addr())}})
		}
	}
}

// defaultRoute is 0.0.0.0/0 or ::/0, as a gateway has it.
func defaultRoute(gateway netip.Addr) netip.Prefix {
	if gateway.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// sortRoutes sorts by destination, the default route first.
func sortRoutes(routes []Route) {
	slices.SortFunc(routes, func(a, b Route) int {
		if c := a.Destination.Addr().Compare(b.Destination.Addr()); c != 0 {
			return c
		}
		return a.Destination.Bits() - b.Destination.Bits()
	})
}

func (p *planner) pods() {
	for i, pod := range p.x.pods {
		spec := &p.t.Spec.Pods[pod.spec]
		p.Pods = append(p.Pods, Pod{
			Name: pod.name, Node: p.Nodes[pod.node].Name, Addresses: pod.addresses, HostDevice: deviceName("v-", pod.name, i, 15),
			MAC: macOf(macOwn, pod.addresses[0]), HostMAC: macOf(macHost, pod.addresses[0]),
			Labels: maps.Clone(spec.Labels), Workload: slices.Clone(spec.Workload),
		})
	}
}

// fabricRoutes lead pod CIDRs to their nodes, and the addresses of services to all LB nodes that have an address of the same
// IP version; if there is no LB node, to workers.
func (p *planner) fabricRoutes() {
	var lbs, workers []netip.Addr
	for i := range p.Nodes {
		n := &p.Nodes[i]
		for _, cidr := range n.PodCIDRs {
			p.FabricRoutes = append(p.FabricRoutes, Route{Destination: cidr, Via: []netip.Addr{n.AddressFor(cidr.Addr())}})
		}
		switch n.Role {
		case RoleLB:
			lbs = append(lbs, addrsOf(n.Addresses)...)
		case RoleWorker:
			workers = append(workers, addrsOf(n.Addresses)...)
		}
	}
	if len(lbs) == 0 {
		lbs = workers
	}
	seen := map[netip.Addr]bool{}
	for i := range p.Services {
		for _, f := range frontendAddresses(&p.Services[i]) {
			via := slices.DeleteFunc(slices.Clone(lbs), func(a netip.Addr) bool { return !alikeFamily(a, f.address) })
			if seen[f.address] || len(via) == 0 {
				continue
			}
			seen[f.address] = true
			slices.SortFunc(via, netip.Addr.Compare)
			p.FabricRoutes = append(p.FabricRoutes, Route{Destination: hostPrefix(f.address), Via: via})
		}
	}
	sortRoutes(p.FabricRoutes)
}
