// Package announce says which node is to tell the network about which VIP. What follows from nodes and tables is pure (Of);
// announce/l2 answers ARP and neighbour solicitations for VIPs, announce/bgp tells routers.
package announce

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Mode is how VIPs are announced.
type Mode string

const (
	// ModeNone: not at all.
	ModeNone Mode = ""
	// ModeL2: one node of a network answers for a VIP, by ARP (RFC 826) and NDP (RFC 4861).
	ModeL2 Mode = "l2"
	// ModeBGP: all nodes that can serve a VIP announce a host route to their routers (RFC 4271).
	ModeBGP Mode = "bgp"
)

// ParseMode reads one.
func ParseMode(text string) (Mode, error) {
	switch m := Mode(text); m {
	case ModeNone, ModeL2, ModeBGP:
		return m, nil
	}
	return ModeNone, fmt.Errorf("%q: must be l2 or bgp, or empty", text)
}

// Role is a node's part.
type Role string

const (
	// Speaks: the node announces the VIP.
	Speaks Role = "speaks"
	// StandsIn: the node looks whether the one that speaks is there, and speaks where it is not (ModeL2).
	StandsIn Role = "stands-in"
)

// Announcement is what a node is to do for a VIP.
type Announcement struct {
	VIP  netip.Addr `json:"vip"`
	Role Role       `json:"role"`
}

// Node is one that VIPs may be announced by.
type Node struct {
	Name string
	// Addresses are its own; it announces VIPs of their families.
	Addresses []netip.Addr
	// NotReady: its kubelet says so, or has not been heard of for a while.
	NotReady bool
	// Excluded: it is labelled node.kubernetes.io/exclude-from-external-load-balancers.
	Excluded bool
}

// View is what a node knows.
type View struct {
	// Node is its own name.
	Node   string
	Nodes  []Node
	Tables *services.Tables
	// Within says which VIPs may be announced at all: whoever may create a Service can ask for any address.
	Within func(netip.Addr) bool
}

// Of is a node's part in announcing VIPs, ordered by VIP. A VIP is an address of a service of type LoadBalancer. Nodes can serve it
// that have an address of its family, are not excluded, and with externalTrafficPolicy Local have a ready pod of it.
//
// With ModeL2 all nodes order those that can, ready ones first, by a hash of VIP and node (rendezvous hashing): the first speaks, the
// second stands in. Nobody elects anybody, so that no rights to write and no API server are needed; the price is that two nodes may
// speak for as long as they know different things. That does no harm: each serves every flow alike, and clients heed the last word.
// Where no node is ready all count as if they were: rather the kubelets are wrong than all nodes gone.
func Of(mode Mode, v View) []Announcement {
	if mode == ModeNone {
		return nil
	}
	var all []Announcement
	for _, vip := range v.vips() {
		able := v.able(vip)
		if mode == ModeL2 {
			able = order(able, vip)
		}
		at := slices.IndexFunc(able, func(n Node) bool { return n.Name == v.Node })
		switch {
		case at < 0:
		case at == 0 || mode == ModeBGP:
			all = append(all, Announcement{vip, Speaks})
		case at == 1:
			all = append(all, Announcement{vip, StandsIn})
		}
	}
	return all
}

// vips are those that may be announced, in order.
func (v *View) vips() []netip.Addr {
	var all []netip.Addr
	for i := range v.Tables.Frontends {
		if f := &v.Tables.Frontends[i]; f.Kind == services.KindLoadBalancer && v.Within(f.Address) {
			all = append(all, f.Address) // they are ordered
		}
	}
	return slices.Compact(all)
}

// able are the nodes that can serve a VIP. Where services share one, it is enough to serve one of them.
func (v *View) able(vip netip.Addr) []Node {
	first, _ := slices.BinarySearchFunc(v.Tables.Frontends, vip, func(f services.Frontend, a netip.Addr) int { return f.Address.Compare(a) })
	var able []Node
	for _, n := range v.Nodes {
		if n.Excluded || !slices.ContainsFunc(n.Addresses, func(a netip.Addr) bool { return a.Is4() == vip.Is4() }) {
			continue
		}
		for i := first; i < len(v.Tables.Frontends) && v.Tables.Frontends[i].Address == vip; i++ {
			f := &v.Tables.Frontends[i]
			if f.Kind == services.KindLoadBalancer && (!f.LocalOnly || len(v.Tables.Ready(f, n.Name)) > 0) {
				able = append(able, n)
				break
			}
		}
	}
	return able
}

func order(able []Node, vip netip.Addr) []Node {
	ready := slices.DeleteFunc(slices.Clone(able), func(n Node) bool { return n.NotReady })
	if len(ready) == 0 {
		ready = able
	}
	weight := func(n Node) uint64 { return xxhash.Sum64String(vip.String() + " " + n.Name) }
	slices.SortFunc(ready, func(a, b Node) int { return cmp.Or(cmp.Compare(weight(b), weight(a)), cmp.Compare(a.Name, b.Name)) })
	return ready
}
