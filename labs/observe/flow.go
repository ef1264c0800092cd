// Package observe shows what a running testbed's data path does: flows as they pass, one request hop by hop, counters as metrics, and
// comments on captured packets. It changes nothing, and any number of processes may observe a testbed at the same time; only one of them
// may trace.
package observe

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/topologies"
)

// Flow is an event of a node's data path in the words of `hubble observe`.
type Flow struct {
	Time        time.Time      `json:"time"`
	Node        string         `json:"node"`
	Source      Peer           `json:"source"`
	Destination Peer           `json:"destination"`
	Frontend    netip.AddrPort `json:"frontend,omitzero"`
	Protocol    string         `json:"protocol"`
	TCPFlags    string         `json:"tcpFlags,omitempty"`
	// Observation is where the packet went: to-overlay, to-endpoint or to-network; empty for a drop.
	Observation string `json:"observation,omitempty"`
	Verdict     string `json:"verdict"` // FORWARDED or DROPPED
	Reason      string `json:"reason"`  // the data path's own name for what it did
	Mode        string `json:"mode,omitempty"`
	// Option: the packet between the nodes carries the frontend in Geneve's DSR option.
	Option bool `json:"option"`
	// Tunnel is the other end of the tunnel, where there is one.
	Tunnel  netip.Addr `json:"tunnel,omitzero"`
	Service string     `json:"service,omitempty"` // namespace/name:port/PROTO
	Bytes   int        `json:"bytes"`
}

// Peer is one end of a flow.
type Peer struct {
	Address netip.AddrPort `json:"address"`
	// Identity is world, host or pod.
	Identity string `json:"identity"`
	Name     string `json:"name,omitempty"` // of the pod, node or client, where it is one of the topology's
}

// String is as hubble prints it: pods by name, all else by address with its identity.
func (p Peer) String() string {
	if p.Identity == "pod" {
		return fmt.Sprintf("%s:%d", p.Name, p.Address.Port())
	}
	return fmt.Sprintf("%v (%s)", p.Address, p.Identity)
}

// String is a line as `hubble observe` prints it.
func (f Flow) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s [%s]: %v -> %v", f.Time.Format("Jan _2 15:04:05.000"), f.Node, f.Source, f.Destination)
	if f.Verdict == "DROPPED" {
		fmt.Fprintf(&s, " %s DROPPED", f.Reason)
	} else {
		fmt.Fprintf(&s, " %s FORWARDED", f.Observation)
	}
	if f.Protocol == "TCP" {
		fmt.Fprintf(&s, " (TCP Flags: %s)", f.TCPFlags)
	} else {
		fmt.Fprintf(&s, " (%s)", f.Protocol)
	}
	if f.Option && f.Frontend.IsValid() {
		fmt.Fprintf(&s, " (DSR %v)", f.Frontend)
	}
	return s.String()
}

// observation is the word for where a packet went.
func observation(r string) string {
	switch r {
	case "to-overlay-dsr", "to-overlay-snat":
		return "to-overlay"
	case "to-endpoint", "from-overlay", "reply-inside":
		return "to-endpoint"
	}
	return "to-network"
}

// newFlow is the flow of a node's event, with the names of the plan.
func newFlow(plan *topologies.Plan, node string, e dataplane.Event, names *dataplane.Names) Flow {
	f := Flow{
		Time: e.Time, Node: node, Source: newPeer(plan, e.Source), Destination: newPeer(plan, e.Destination), Frontend: e.Frontend,
		Protocol: e.Protocol, Reason: names.Reason(e.Reason), Verdict: "FORWARDED", Option: e.Option, Bytes: int(e.Bytes),
		Tunnel: e.Node, Service: e.Service,
	}
	if e.Protocol == "TCP" {
		f.TCPFlags = e.TCPFlags.String()
	}
	if e.Backend.IsValid() && e.Source != e.Backend {
		f.Destination = newPeer(plan, e.Backend) // to whom the frontend's request goes
	}
	if e.Frontend.IsValid() {
		f.Mode = "snat"
		if e.DSR {
			f.Mode = "dsr"
		}
	}
	if dataplane.IsDrop(e.Reason) {
		f.Verdict = "DROPPED"
	} else {
		f.Observation = observation(f.Reason)
	}
	return f
}

// newPeer names an address of the topology.
func newPeer(plan *topologies.Plan, a netip.AddrPort) Peer {
	p := Peer{Address: a, Identity: "world"}
	if pod := plan.PodAt(a.Addr()); pod != nil {
		p.Identity, p.Name = "pod", pod.Name
	}
	if n := plan.NodeAt(a.Addr()); n != nil {
		p.Name = n.Name
		if !n.Role.OutsideCluster() {
			p.Identity = "host"
		}
	}
	return p
}
