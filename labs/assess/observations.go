// Package assess judges whether Direct Server Return would work on a cluster's network, what would break, and what would be gained.
//
// It is pure: Observations are values that a prober has gathered, on a testbed or on a cluster, and Diagnose makes a report of them. It
// sends no packet, and asks no kernel and no API server.
package assess

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Schema is the version of the Observations that this package writes, and the only one that it reads.
const Schema = "dsrlab.dev/assess/v1"

// Observations are what was seen of a cluster and its network: facts, and packets sent and seen. What was not tried is absent, and
// never counts as "works". The zero value is valid and says nothing.
type Observations struct {
	// Schema is the constant Schema.
	Schema string `json:"schema"`
	// When is the time of the first probe.
	When time.Time `json:"when"`
	// Of names what was observed, as people call it: a testbed or a cluster.
	Of     string `json:"of,omitempty"`
	Client Client `json:"client"`
	// Nodes are the cluster's that were probed, in any order, and OtherNodes the names of those that were not.
	Nodes      []Node   `json:"nodes,omitempty"`
	OtherNodes []string `json:"otherNodes,omitempty"`
	// NodeAddresses are addresses of nodes, probed or not, that services are called by as if they were VIPs.
	NodeAddresses []netip.Addr `json:"nodeAddresses,omitempty"`

	Services []Service `json:"services,omitempty"`

	Spoof   []SpoofProbe   `json:"spoof,omitempty"`
	Direct  []DirectProbe  `json:"direct,omitempty"`
	Tunnel  []TunnelProbe  `json:"tunnel,omitempty"`
	WayIn   []WayInProbe   `json:"wayIn,omitempty"`
	WayBack []WayBackProbe `json:"wayBack,omitempty"`
	// Counters are what passed the nodes' ports during an interval; the gain is predicted from them.
	Counters []Counters `json:"counters,omitempty"`
	// Profile is a load to predict the gain for; nil: none.
	Profile *Profile `json:"profile,omitempty"`
	// Unread are the facts that could not be read and the probes that could not be sent.
	Unread []Unread `json:"unread,omitempty"`
}

// Client is the machine outside the cluster that probes were sent from and received at.
type Client struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
}

// Node is a cluster node. Facts that were not read have their zero value, pointers nil, and a line in Observations.Unread.
type Node struct {
	Name string `json:"name"`
	// Addresses are the node's own, of both families, as it has them on its interfaces.
	Addresses []netip.Prefix `json:"addresses"`
	// ExternalAddresses are what clients call the node by, where these are not its own.
	ExternalAddresses []netip.Addr `json:"externalAddresses,omitempty"`
	// MTU is the largest IP packet in bytes that the outside interface sends.
	MTU int `json:"mtu,omitempty"`
	// Device is the outside interface.
	Device string `json:"device,omitempty"`
	// LinkRate is the speed of the outside interface in bit/s; 0: not known.
	LinkRate float64 `json:"linkRate,omitempty"`
	Kernel   string  `json:"kernel,omitempty"`
	// ReversePath is the reverse path filter that is in effect on each interface, the greater of conf.all and the interface's own:
	// 0 none, 1 strict, 2 loose.
	ReversePath map[string]int `json:"rpFilter,omitempty"`
	// AcceptLocal tells for each interface whether packets with a local source are accepted.
	AcceptLocal map[string]bool `json:"acceptLocal,omitempty"`
	// DropsInvalid reports whether a netfilter rule of the node drops what conntrack calls invalid.
	DropsInvalid *bool `json:"dropsInvalid,omitempty"`
	// CNI and ProxyMode name the node's network plugin and service proxy.
	CNI       string `json:"cni,omitempty"`
	ProxyMode string `json:"proxyMode,omitempty"`
	// BTF and XDP report whether the kernel has type information, which programs that are made for many kernels need, and the outside interface's
	// driver runs XDP programs itself.
	BTF *bool `json:"btf,omitempty"`
	XDP *bool `json:"xdp,omitempty"`
	// ProviderID and Labels are the Kubernetes node's.
	ProviderID string            `json:"providerID,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}

// Service is a Kubernetes service and where its pods are.
type Service struct {
	// Service is the object as the API server has it; status and managed fields other than loadBalancer need not be there.
	Service corev1.Service `json:"service"`
	// Endpoints are the numbers of ready pods, by node; nil: not known.
	Endpoints map[string]int `json:"endpoints,omitzero"`
	// HostPorts are ports of the service's pods that are ports of their nodes, too.
	HostPorts []int32 `json:"hostPorts,omitempty"`
	// HostNetwork reports whether pods of the service use their node's network.
	HostNetwork bool `json:"hostNetwork,omitempty"`
}

// FrontendKind is what a frontend's address is.
type FrontendKind string

// The kinds of frontends. A VIP is an address of no node: a load balancer's, or an external IP.
const (
	VIP         FrontendKind = "vip"
	NodeAddress FrontendKind = "node-address"
)

// Frontend is what clients call.
type Frontend struct {
	// Service is namespace/name; empty if the prober called an address for itself.
	Service string         `json:"service,omitempty"`
	Kind    FrontendKind   `json:"kind"`
	Address netip.AddrPort `json:"address"`
	// Node is the node that a node address belongs to.
	Node string `json:"node,omitempty"`
}

// SourceKind is whose address a probe has as its source.
type SourceKind string

// The kinds of sources.
const (
	SourceOwn       SourceKind = "own"        // the sender's own: the control, which every filter should let pass
	SourceVIP       SourceKind = "vip"        // a frontend that is no node's address
	SourceOtherNode SourceKind = "other-node" // as in a reply to a call to the other node's NodePort
	SourceUnrelated SourceKind = "unrelated"  // an address of no host here, that no route leads to
	SourceClient    SourceKind = "client"     // between nodes: the client's, as in a request that was forwarded
)

// Protocol is what a probe looks like.
type Protocol string

// The protocols.
const (
	UDP    Protocol = "udp"
	SYNACK Protocol = "tcp-syn-ack" // a TCP segment with SYN and ACK, as a server answers
)

// SpoofProbe is a number of equal packets from a node to the client whose source is not always the node's own: what a DSR reply is.
// Probes that differ in any of the fields before Sent are probes of their own.
type SpoofProbe struct {
	Node     string     `json:"node"`
	Source   netip.Addr `json:"source"`
	Kind     SourceKind `json:"kind"`
	Protocol Protocol   `json:"protocol"`
	// Solicited: the client had sent the SYN that belongs to it, to the source address, by the usual way in, and it had arrived at some
	// node. Not solicited: nobody asked for the packet. Only of SYN-ACKs.
	Solicited   bool       `json:"solicited,omitempty"`
	Destination netip.Addr `json:"destination"`
	// TTL is the time to live (hop limit) as sent where it was limited to find out where the packet gets lost: 1 for the first router.
	// 0: as usual.
	TTL int `json:"ttl,omitempty"`

	Sent int `json:"sent"`
	// Left is how many were seen to leave by the node's outside interface, behind all of the node's own filters; nil: not observed.
	Left *int `json:"left,omitempty"`
	// Arrived is how many the client's interface received, before the client's own filters, whatever their source then was.
	Arrived int `json:"arrived"`
	// SeenSource and SeenTTL are those of the packets that arrived.
	SeenSource netip.Addr `json:"seenSource,omitzero"`
	SeenTTL    int        `json:"seenTTL,omitempty"`
	// Errors are the ICMP errors that the packets caused, wherever they were received: they go to the source of the packet.
	Errors []ICMPError `json:"errors,omitempty"`
}

// ICMPKind is what an ICMP error says.
type ICMPKind string

// The kinds of ICMP errors.
const (
	TimeExceeded ICMPKind = "time-exceeded"
	Unreachable  ICMPKind = "unreachable"
	Prohibited   ICMPKind = "prohibited" // by an administrator's filter
	TooBig       ICMPKind = "too-big"    // fragmentation needed, or packet too big
)

// ICMPError is an ICMP error that a probe caused.
type ICMPError struct {
	From netip.Addr `json:"from"`
	Kind ICMPKind   `json:"kind"`
	// MTU is what a too-big error tells, in bytes.
	MTU int `json:"mtu,omitempty"`
}

// DirectProbe is a number of equal UDP packets between nodes, not in a tunnel, whose source or destination is not the node's own. The
// sender hands them to the receiver's link-layer address, or, on another network, to its router.
type DirectProbe struct {
	From        string     `json:"from"`
	To          string     `json:"to"`
	Source      netip.Addr `json:"source"`
	SourceKind  SourceKind `json:"sourceKind"` // own or client
	Destination netip.Addr `json:"destination"`
	// Foreign: the destination is an address of no node, as in a packet that a router hands to a node to forward. False: the receiver's own.
	Foreign bool `json:"foreign,omitempty"`

	Sent int  `json:"sent"`
	Left *int `json:"left,omitempty"` // as of SpoofProbe
	// Arrived is how many the receiver's outside interface received.
	Arrived int `json:"arrived"`
	// Delivered is how many the receiver's network stack passed on to a socket; nil: not observed, and always where Foreign.
	Delivered *int `json:"delivered,omitempty"`
}

// GenevePort is the UDP port of Geneve.
const GenevePort = 6081

// TunnelProbe is a number of equal UDP packets from one node to another that look like Geneve, with DF set.
type TunnelProbe struct {
	From        string     `json:"from"`
	To          string     `json:"to"`
	Source      netip.Addr `json:"source"`
	Destination netip.Addr `json:"destination"`
	// Port is the destination port: GenevePort, or one of no protocol as the control.
	Port uint16 `json:"port"`
	// Size is that of the outer IP packet in bytes. A prober sends the smallest, then the sender's MTU; if that is lost, also MTU - 4 and
	// MTU - 8, and others between until it has found the largest that arrives.
	Size int `json:"size"`
	// Option: the Geneve header has the DSR option.
	Option bool `json:"option,omitempty"`

	Sent    int  `json:"sent"`
	Left    *int `json:"left,omitempty"` // as of SpoofProbe
	Arrived int  `json:"arrived"`
	// BadChecksum is how many of those that arrived had a checksum, outer or inner, that is wrong, or other bytes than were sent.
	BadChecksum int         `json:"badChecksum,omitempty"`
	Errors      []ICMPError `json:"errors,omitempty"`
}

// WayInProbe is a number of calls of the client to a frontend, each from another port, and what nodes saw of them.
type WayInProbe struct {
	Frontend Frontend `json:"frontend"`
	// Source is the client's address as sent.
	Source netip.Addr `json:"source"`
	Sent   int        `json:"sent"`
	// Seen is empty if no node saw any.
	Seen []Sighting `json:"seen,omitempty"`
}

// Sighting is what a node's outside interface received of a probe, before any translation by the node itself.
type Sighting struct {
	Node        string         `json:"node"`
	Source      netip.Addr     `json:"source"`
	Destination netip.AddrPort `json:"destination"`
	Count       int            `json:"count"`
}

// WayBackProbe is a number of TCP connections that a prober serves as DSR would: the client's packets to a frontend arrive at the entry
// node, and the answering node sends what belongs to them straight to the client, with the frontend as source.
type WayBackProbe struct {
	Frontend Frontend `json:"frontend"`
	// Entry is the node where the client's packets arrive; Answer the one that answers. With Answer equal to Entry the path is symmetric:
	// the control. Both may be empty where no SYN arrived anywhere.
	Entry  string `json:"entry"`
	Answer string `json:"answer"`

	// Opened is how many connections the client began. Of these, SYNs arrived at the entry node, SYN-ACKs at the client, and the
	// client's ACKs at the entry node again.
	Opened     int `json:"opened"`
	SYNs       int `json:"syns"`
	SYNACKs    int `json:"synAcks"`
	ACKs       int `json:"acks"`
	DataBefore int `json:"dataBefore"` // the client's first data that arrived at the entry node, before the pause
	// Idle is how long nothing was sent on the connections that stood; 0: there was no pause, and the two numbers below mean nothing.
	Idle metav1.Duration `json:"idle,omitzero"`
	// DataAfter is how many of these brought the client's data to the entry node after the pause, and AnswersAfter how many of those
	// brought the answer to the client.
	DataAfter    int `json:"dataAfter"`
	AnswersAfter int `json:"answersAfter"`
}

// Counters are what passed a node's outside interface during an interval, without the frame's preamble, gap and checksum.
type Counters struct {
	Node       string          `json:"node"`
	Interval   metav1.Duration `json:"interval"`
	BytesIn    uint64          `json:"bytesIn"`
	BytesOut   uint64          `json:"bytesOut"`
	PacketsIn  uint64          `json:"packetsIn"`
	PacketsOut uint64          `json:"packetsOut"`
}

// Unread is a fact that could not be read, or a probe that could not be sent.
type Unread struct {
	// What names it in words: "rp_filter of eth0".
	What string `json:"what"`
	// Node is empty if it is about no single node.
	Node string `json:"node,omitempty"`
	Why  string `json:"why"`
	// Needed: without it there is no verdict that DSR works.
	Needed bool `json:"needed,omitempty"`
}

// clusterSize is how many nodes the cluster has, as far as is known.
func (o *Observations) clusterSize() int { return len(o.Nodes) + len(o.OtherNodes) }

// mayAnswer reports whether a node has pods of the service, or may have as it is not known where they are.
func (s *Service) mayAnswer(node string) bool { return s.Endpoints == nil || s.Endpoints[node] > 0 }
