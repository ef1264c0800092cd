package assess

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fabric is a network with faults, as a model: three nodes on one network, a router, and a client behind it. It says what became of
// probes, so that a test breaks the network and not the observations.
type fabric map[Cause]bool

const (
	packets = 5
	router  = "192.0.2.1"
)

func number(n int) *int { return &n }

// addresses are those of one family.
type addresses struct {
	client, vip, unrelated, public netip.Addr
	nodes                          map[string]netip.Prefix
}

func addressesOf(f family) addresses {
	if f == ipv6 {
		return addresses{
			netip.MustParseAddr("2001:db8:c::2"), netip.MustParseAddr("2001:db8:f::80"), netip.MustParseAddr("2001:db8:dead::1"), netip.MustParseAddr("2001:db8:b::11"),
			map[string]netip.Prefix{"a": netip.MustParsePrefix("2001:db8:a::1/64"), "b": netip.MustParsePrefix("2001:db8:a::2/64"), "c": netip.MustParsePrefix("2001:db8:a::3/64")},
		}
	}
	return addresses{
		netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("203.0.113.80"), netip.MustParseAddr("203.0.113.254"), netip.MustParseAddr("203.0.113.11"),
		map[string]netip.Prefix{"a": netip.MustParsePrefix("10.1.0.1/24"), "b": netip.MustParsePrefix("10.1.0.2/24"), "c": netip.MustParsePrefix("10.1.0.3/24")},
	}
}

// observe is what a prober sees on the fabric. Clients' calls to the VIP enter at node a; b and c have pods.
func (f fabric) observe() Observations {
	o := Observations{Schema: Schema, When: time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC), Of: "model", Client: Client{Name: "client"}}
	for _, name := range []string{"a", "b", "c"} {
		n := Node{
			Name: name, MTU: 1500, Device: "eth0", LinkRate: 1e9, Kernel: "6.12.0", ReversePath: map[string]int{"eth0": 0},
			DropsInvalid: new(bool),
		}
		*n.DropsInvalid = f[ConntrackInvalid]
		if f[MTUMixed] && name == "a" {
			n.MTU = 9000
		}
		if f[RPFilter] {
			n.ReversePath["eth0"] = 1
		}
		o.Nodes = append(o.Nodes, n)
	}
	service := corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyCluster,
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP}, {Name: "dns", Port: 53, NodePort: 30053, Protocol: corev1.ProtocolUDP}},
	}}
	for _, family := range []family{ipv4, ipv6} {
		at := addressesOf(family)
		o.Client.Addresses = append(o.Client.Addresses, at.client)
		service.Status.LoadBalancer.Ingress = append(service.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: at.vip.String()})
		for i := range o.Nodes {
			o.Nodes[i].Addresses = append(o.Nodes[i].Addresses, at.nodes[o.Nodes[i].Name])
			o.Spoof = append(o.Spoof, f.spoof(o.Nodes[i].Name, at)...)
			for k := range o.Nodes {
				if from, to := o.Nodes[k], o.Nodes[i]; i != k {
					o.Direct = append(o.Direct, f.direct(from.Name, to.Name, at)...)
					o.Tunnel = append(o.Tunnel, f.tunnel(from, to, at)...)
					o.WayBack = append(o.WayBack, f.connections(from.Name, to.Name, at))
				}
			}
			o.WayBack = append(o.WayBack, f.connections(o.Nodes[i].Name, o.Nodes[i].Name, at))
		}
		o.WayIn = append(o.WayIn, f.wayIn(at)...)
	}
	o.Services = []Service{{Service: service, Endpoints: map[string]int{"b": 1, "c": 2}}}
	return o
}

// spoof says how far each kind of packet from a node gets: not out of the node, not beyond its port, not beyond the router, or to the client.
func (f fabric) spoof(node string, at addresses) []SpoofProbe {
	own := at.nodes[node].Addr()
	sources := map[netip.Addr]SourceKind{own: SourceOwn, at.vip: SourceVIP, at.unrelated: SourceUnrelated}
	for name, p := range at.nodes {
		if name != node {
			sources[p.Addr()] = SourceOtherNode
		}
	}
	var all []SpoofProbe
	for source, kind := range sources {
		for _, protocol := range []Protocol{UDP, SYNACK} {
			for _, solicited := range []bool{false, true} {
				for ttl := range 2 {
					if solicited && (protocol == UDP || kind == SourceUnrelated || ttl > 0) {
						continue
					}
					p := SpoofProbe{Node: node, Source: source, Kind: kind, Protocol: protocol, Solicited: solicited, Destination: at.client, TTL: ttl, Sent: packets}
					f.send(&p, at)
					all = append(all, p)
				}
			}
		}
	}
	return all
}

func (f fabric) send(p *SpoofProbe, at addresses) {
	own := p.Kind == SourceOwn
	begun := p.Protocol == UDP || own && p.Solicited // as the node and its port have seen
	p.Left = number(packets)
	switch {
	case f[ConntrackInvalid] && !begun, f[NodeFilter] && !own:
		p.Left = number(0)
		return
	case f[ClientUnreachable], (f[SourceCheck] || f[PortSecurity]) && !own, f[StatefulFirewall] && !begun:
		return
	case f[URPF] && (p.Kind == SourceUnrelated || p.Kind == SourceVIP && p.Node != "a"):
		return
	case p.TTL == 1:
		p.Errors = []ICMPError{{From: netip.MustParseAddr(router), Kind: TimeExceeded}}
		return
	case p.Kind == SourceUnrelated: // a healthy provider drops these, too
		return
	}
	p.Arrived, p.SeenSource, p.SeenTTL = packets, p.Source, 63
	if f[NodeBehindNAT] && own && p.Node == "b" {
		p.SeenSource = at.public
	}
}

func (f fabric) direct(from, to string, at addresses) []DirectProbe {
	own := at.nodes[from].Addr()
	foreign := DirectProbe{From: from, To: to, Source: own, SourceKind: SourceOwn, Destination: at.vip, Foreign: true, Sent: packets, Left: number(packets), Arrived: packets}
	plain := DirectProbe{From: from, To: to, Source: own, SourceKind: SourceOwn, Destination: at.nodes[to].Addr(), Sent: packets, Left: number(packets), Arrived: packets, Delivered: number(packets)}
	client := plain
	client.Source, client.SourceKind, client.Delivered = at.client, SourceClient, number(packets)
	if f[SourceCheck] {
		foreign.Arrived = 0
	}
	if f[SourceCheck] || f[PortSecurity] || f[NodeFilter] {
		client.Arrived, client.Delivered = 0, number(0)
	}
	if f[RPFilter] && at.client.Is4() {
		client.Delivered = number(0)
	}
	return []DirectProbe{foreign, plain, client}
}

func (f fabric) tunnel(from, to Node, at addresses) []TunnelProbe {
	limit := min(from.MTU, to.MTU)
	if f[MTUTooSmall] {
		limit = min(limit, 1450)
	}
	if f[VLANOverhead] {
		limit -= 4
	}
	var all []TunnelProbe
	for _, port := range []uint16{GenevePort, 7777} {
		for _, option := range []bool{false, true} {
			for _, size := range []int{128, 1400, 1450, 1451, 1492, 1493, 1496, 1497, 1500, 8996, 9000} {
				if option && port != GenevePort || size > from.MTU {
					continue
				}
				p := TunnelProbe{From: from.Name, To: to.Name, Source: at.nodes[from.Name].Addr(), Destination: at.nodes[to.Name].Addr(), Port: port, Size: size, Option: option, Sent: 3, Left: number(3)}
				if size <= limit && !f[NodesApart] && (!f[GeneveBlocked] || port != GenevePort) && (!f[OptionDropped] || !option) {
					p.Arrived = 3
				}
				if f[ChecksumOffload] && port == GenevePort && size > 128 {
					p.BadChecksum = p.Arrived
				}
				all = append(all, p)
			}
		}
	}
	return all
}

func (f fabric) wayIn(at addresses) []WayInProbe {
	vip := WayInProbe{Frontend: Frontend{Service: "default/web", Kind: VIP, Address: netip.AddrPortFrom(at.vip, 80)}, Source: at.client, Sent: packets}
	seen := Sighting{Node: "a", Source: at.client, Destination: vip.Frontend.Address, Count: packets}
	if f[DNATLoadBalancer] {
		seen.Destination = netip.AddrPortFrom(at.nodes["a"].Addr(), 30080)
	}
	if f[SNATOnTheWay] {
		seen.Source = netip.MustParseAddr(router)
	}
	vip.Seen = []Sighting{seen}
	node := WayInProbe{Frontend: Frontend{Service: "default/web", Kind: NodeAddress, Node: "b", Address: netip.AddrPortFrom(at.nodes["b"].Addr(), 30080)}, Source: at.client, Sent: packets}
	node.Seen = []Sighting{{Node: "b", Source: at.client, Destination: node.Frontend.Address, Count: packets}}
	if f[NodeBehindNAT] {
		node.Frontend.Address = netip.AddrPortFrom(at.public, 30080)
	}
	return []WayInProbe{vip, node}
}

func (f fabric) connections(entry, answer string, at addresses) WayBackProbe {
	p := WayBackProbe{
		Frontend: Frontend{Kind: VIP, Address: netip.AddrPortFrom(at.vip, 80)}, Entry: entry, Answer: answer,
		Opened: packets, SYNs: packets, SYNACKs: packets, ACKs: packets, DataBefore: packets, Idle: metav1.Duration{Duration: time.Minute}, DataAfter: packets, AnswersAfter: packets,
	}
	reply := SpoofProbe{Node: answer, Source: at.vip, Kind: SourceVIP, Protocol: SYNACK, Solicited: true, Sent: packets}
	if entry == answer {
		reply.Kind = SourceOwn // the node and its port saw the SYN; which source it has only matters to filters of sources
		if f[SourceCheck] || f[PortSecurity] || f[NodeFilter] || f[URPF] && answer != "a" {
			p.SYNACKs = 0
		}
	}
	if f.send(&reply, at); reply.Arrived == 0 {
		p.SYNACKs = 0
	}
	if p.SYNACKs == 0 {
		p.ACKs, p.DataBefore, p.DataAfter, p.AnswersAfter = 0, 0, 0, 0
	}
	return p
}

// inOrder sorts what the model lists in the order of a map, for golden files.
func inOrder(o *Observations) {
	slices.SortFunc(o.Spoof, func(a, b SpoofProbe) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Kind, b.Kind), a.Source.Compare(b.Source), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(fmt.Sprint(a.Solicited), fmt.Sprint(b.Solicited)), a.TTL-b.TTL)
	})
}
