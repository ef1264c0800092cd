package topologies

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

const (
	// maxDrawn is from how many nodes on nodes that are alike are drawn as one.
	maxDrawn = 16
	// maxDrawnPods is how many pods are drawn on a node.
	maxDrawnPods = 6
)

// drawing is what a graph of a plan shows, whatever it is drawn with.
type drawing struct {
	title   string
	fabric  []network
	vips    []vip
	clients []box
	cluster []box // what is in front of LB nodes first, then those
}

// network is a network of the fabric; mtu is empty where it is the topology's.
type network struct {
	name    string
	subnets []subnet
	mtu     string
}

type subnet struct{ prefix, gateway string }

// vip is an address of services, and where the fabric leads it to.
type vip struct {
	address string
	ports   []string // "tcp-echo 8080/TCP"
	via     []string
}

// box is a node, or several alike.
type box struct {
	role  Role
	name  string
	lines []string
	wire  []string // labels of the wire to the fabric
	rate  Rate     // of the wire's slower direction; 0: not limited
	pods  []podBox
	more  int    // pods that are not drawn
	last  string // name of the last node if there are several
	count int
}

// podBox is a pod in its node.
type podBox struct {
	name, address string
	workload      string
}

// draw decides what to show.
func draw(p *Plan) *drawing {
	d := &drawing{title: p.Name}
	for _, n := range p.Networks {
		drawn := network{name: n.Name}
		for i, p := range n.Subnets {
			drawn.subnets = append(drawn.subnets, subnet{p.String(), n.Gateways[i].String()})
		}
		if n.MTU != p.MTU {
			drawn.mtu = fmt.Sprintf("MTU %d", n.MTU)
		}
		d.fabric = append(d.fabric, drawn)
	}
	d.drawVIPs(p)
	pods := map[string][]*Pod{}
	for i := range p.Pods {
		pods[p.Pods[i].Node] = append(pods[p.Pods[i].Node], &p.Pods[i])
	}
	var before *Node
	var last *box
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if len(p.Nodes) > maxDrawn && before != nil && alike(before, n) && len(pods[before.Name]) == len(pods[n.Name]) {
			last.count++
			last.last = n.Name
			for j, a := range n.Addresses {
				last.lines[j] = fmt.Sprintf("%s … %s", strings.Split(last.lines[j], " … ")[0], a.Addr())
			}
			continue
		}
		column := &d.clients
		if n.Role != RoleClient {
			column = &d.cluster
		}
		*column = append(*column, boxOf(n, pods[n.Name]))
		before, last = n, &(*column)[len(*column)-1]
	}
	rank := func(b box) int {
		switch {
		case b.role.isEdge():
			return 0
		case b.role == RoleLB:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(d.cluster, func(a, b box) int { return rank(a) - rank(b) })
	return d
}

// drawVIPs draws the addresses of services, and the names of the nodes that they lead to.
func (d *drawing) drawVIPs(p *Plan) {
	at := map[string]int{}
	for i := range p.Services {
		s := &p.Services[i]
		for _, f := range frontendAddresses(s) {
			address := f.address.String()
			if _, seen := at[address]; !seen {
				at[address] = len(d.vips)
				d.vips = append(d.vips, vip{address: address})
			}
			v := &d.vips[at[address]]
			for _, port := range s.Spec.Ports {
				v.ports = append(v.ports, fmt.Sprintf("%s %d/%s", s.Name, port.Port, port.Protocol))
			}
		}
	}
	names := map[string]string{}
	for i := range p.Nodes {
		for _, a := range p.Nodes[i].Addresses {
			names[a.Addr().String()] = p.Nodes[i].Name
		}
	}
	for _, r := range p.FabricRoutes {
		i, ok := at[r.Destination.Addr().String()]
		if !ok || !r.Destination.IsSingleIP() {
			continue
		}
		for _, via := range r.Via {
			d.vips[i].via = append(d.vips[i].via, names[via.String()])
		}
	}
}

// alike reports whether two nodes differ by no more than number and addresses.
func alike(a, b *Node) bool {
	return a.Role == b.Role && a.Network == b.Network && stem(a.Name) == stem(b.Name) && len(a.Addresses) == len(b.Addresses) &&
		reflect.DeepEqual(a.ToNode, b.ToNode) && reflect.DeepEqual(a.FromNode, b.FromNode)
}

// stem is a name without its number.
func stem(name string) string { return strings.TrimRight(name, "0123456789") }

func boxOf(n *Node, pods []*Pod) box {
	b := box{role: n.Role, name: n.Name, count: 1}
	for _, a := range n.Addresses {
		b.lines = append(b.lines, a.Addr().String())
	}
	for _, cidr := range n.PodCIDRs {
		b.lines = append(b.lines, "pods "+cidr.String())
	}
	to, from := n.ToNode.Rate, n.FromNode.Rate
	switch toText, fromText := limitText(n.ToNode), limitText(n.FromNode); {
	case toText != fromText:
		b.wire = []string{"to node: " + toText, "from node: " + fromText}
	case to != 0:
		b.wire = []string{toText}
	}
	b.rate = min(to, from)
	if b.rate == 0 {
		b.rate = max(to, from)
	}
	for i, pod := range pods {
		if i == maxDrawnPods && len(pods) > maxDrawnPods+1 {
			b.more = len(pods) - i
			break
		}
		drawn := podBox{name: pod.Name, address: joined(pod.Addresses, ", ")}
		for _, w := range pod.Workload {
			drawn.workload += fmt.Sprintf(", %s :%d", w.Kind, w.Port)
		}
		drawn.workload = strings.TrimPrefix(drawn.workload, ", ")
		b.pods = append(b.pods, drawn)
	}
	return b
}

// limitText is the rate of a direction, and what is done with frames over it unless they queue.
func limitText(s Shape) string {
	switch {
	case s.Rate == 0:
		return "not shaped"
	case s.Limit == LimitPolice:
		return s.Rate.String() + " policed"
	}
	return s.Rate.String()
}

// title is the name of a box.
func (b *box) title() string {
	if b.count == 1 {
		return b.name
	}
	return fmt.Sprintf("%s … %s (%d nodes)", b.name, b.last, b.count)
}

// podsTitle says, where a box is several nodes, that each has such pods.
func (b *box) podsTitle() string {
	if b.count == 1 || len(b.pods) == 0 {
		return ""
	}
	return "on each, as on " + b.name + ":"
}
