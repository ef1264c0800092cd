package assess

// Cause names why DSR would not work, or not for everybody.
type Cause string

// The causes that Diagnose knows.
const (
	SourceCheck       Cause = "source-check"
	PortSecurity      Cause = "port-security"
	URPF              Cause = "urpf"
	SourceFilter      Cause = "source-filter"
	StatefulFirewall  Cause = "stateful-firewall"
	ConntrackInvalid  Cause = "conntrack-invalid"
	NodeFilter        Cause = "node-filter"
	RPFilter          Cause = "rp-filter"
	DNATLoadBalancer  Cause = "dnat-nlb"
	SNATOnTheWay      Cause = "snat-on-the-way"
	NodeBehindNAT     Cause = "node-behind-nat"
	ClientUnreachable Cause = "client-unreachable"
	GeneveBlocked     Cause = "geneve-blocked"
	OptionDropped     Cause = "geneve-option-dropped"
	NodesApart        Cause = "nodes-apart"
	MTUTooSmall       Cause = "mtu-too-small"
	VLANOverhead      Cause = "vlan-overhead"
	MTUMixed          Cause = "mtu-mixed"
	ChecksumOffload   Cause = "checksum-offload"
)

// CauseInfo is what there is to say about a cause.
type CauseInfo struct {
	Cause Cause `json:"cause"`
	// Meaning is the cause in one sentence.
	Meaning string `json:"meaning"`
	// Consequence is what happens under DSR because of it.
	Consequence string `json:"consequence"`
	// Remedy is what can be done about it where the provider has no switch, or is not known.
	Remedy string `json:"remedy"`
	// Verdict is WorksIf where a setting changes it, and Wont where something else has to take the place of what is there.
	Verdict Verdict `json:"verdict"`
	// Lab is dsrlab's lab that shows it; empty if none does.
	Lab string `json:"lab,omitempty"`
}

// Causes returns all causes, each with what there is to say about it.
func Causes() []CauseInfo {
	return append(append(sourceCauses(), pathCauses()...), tunnelCauses()...)
}

// Info returns what there is to say about the cause; only its name if it is not one of Causes.
func (c Cause) Info() CauseInfo {
	for _, info := range Causes() {
		if info.Cause == c {
			return info
		}
	}
	return CauseInfo{Cause: c}
}

// labSpoof is the lab with fabrics that refuse foreign sources, and load balancers that translate.
const labSpoof = "10-nlb-and-bgp"

// labObstacles is the lab with all networks that are known to misbehave.
const labObstacles = "14-would-it-work"

// sourceCauses are the causes that show where a node sends with a source that is not its own.
func sourceCauses() []CauseInfo {
	const lost = "Replies of pods carry the frontend as source, and are dropped silently: connections time out unless the pod is on the node that was called."
	return []CauseInfo{
		{
			Cause: SourceCheck, Verdict: WorksIf, Lab: labSpoof, Consequence: lost,
			Meaning: "The network drops what a node sends with a source, or is sent with a destination, that is not the node's own.",
			Remedy:  "Switch the source and destination check off, on every node's interface.",
		},
		{
			Cause: PortSecurity, Verdict: WorksIf, Lab: labSpoof, Consequence: lost,
			Meaning: "The node's port lets packets out only with sources that are on the port's list.",
			Remedy:  "Put the frontends' addresses on the list of every node's port, or switch port security off.",
		},
		{
			Cause: URPF, Verdict: WorksIf, Lab: labSpoof, Consequence: lost,
			Meaning: "A router drops packets whose source has no route back to where they came from (unicast reverse path forwarding).",
			Remedy:  "Have the router check loosely, or not at all, on the interface towards the nodes; or announce the VIPs from every node (BGP with ECMP).",
		},
		{
			Cause: SourceFilter, Verdict: WorksIf, Lab: labSpoof, Consequence: lost,
			Meaning: "Something between node and client drops foreign sources, but behaves like no filter that dsrlab knows.",
			Remedy:  "Ask who runs the network which sources the nodes may send with.",
		},
		{
			Cause: NodeFilter, Verdict: WorksIf,
			Meaning:     "A filter of the node itself drops such packets before they leave it, or after they have arrived.",
			Consequence: "Replies or requests do not pass the node's own rules, unless the data path goes around them.",
			Remedy:      "Find the rule (nft list ruleset; the network plugin's anti-spoofing), and make an exception for the frontends' addresses.",
		},
		{
			Cause: ConntrackInvalid, Verdict: WorksIf, Lab: labObstacles,
			Meaning:     "A netfilter rule of the node drops SYN-ACKs whose SYN the node's connection tracking has not seen.",
			Consequence: "Under DSR the SYN reaches the pod's node in a tunnel, so its SYN-ACK counts as invalid; a data path that hands replies to netfilter loses every TCP connection.",
			Remedy:      "Remove the rule that drops ct state invalid, or accept what has a frontend's address as source before it; or use a data path that bypasses netfilter. The sysctl nf_conntrack_tcp_be_liberal does not help: it is about sequence numbers of connections that are known.",
		},
		{
			Cause: ClientUnreachable, Verdict: WorksIf,
			Meaning:     "Not even what a node sends with its own address reaches the client.",
			Consequence: "The node cannot answer clients itself, whatever the source is.",
			Remedy:      "Give the node a route to the clients, and let the firewalls between them pass what it sends.",
		},
	}
}

// pathCauses are the causes that translate addresses or remember connections on the way.
func pathCauses() []CauseInfo {
	return []CauseInfo{
		{
			Cause: StatefulFirewall, Verdict: WorksIf, Lab: labObstacles,
			Meaning:     "A firewall that sees only one direction of a connection drops what belongs to no connection that it saw begin.",
			Consequence: "UDP gets through, but TCP connections are not established, or are cut off after a pause.",
			Remedy:      "Take the nodes' addresses and the VIPs out of connection tracking there (stateless rules, security groups without tracking), or route both directions through the same firewall.",
		},
		{
			Cause: DNATLoadBalancer, Verdict: Wont, Lab: labSpoof,
			Meaning:     "What stands in front translates the frontend's address to a node's, and only it can translate the answer back.",
			Consequence: "The pod's reply carries the node's address as source, the client knows no such connection, and resets it.",
			Remedy:      "Let the frontend's address reach the nodes: a load balancer that passes it through (direct server return, L2 announcement, BGP), not one that translates.",
		},
		{
			Cause: SNATOnTheWay, Verdict: Wont, Lab: "01-source-ip",
			Meaning:     "Something on the way replaces the source address.",
			Consequence: "On the way in, pods see the translator instead of the client, and answers have to pass it; on the way back, the client gets answers from an address that it did not call.",
			Remedy:      "Use a load balancer that keeps the client's address, and exclude the frontends' addresses from masquerading at nodes and gateways.",
		},
		{
			Cause: NodeBehindNAT, Verdict: Wont, Lab: labObstacles,
			Meaning:     "Clients know the node by another address than its own: a translator stands between.",
			Consequence: "A reply from another node does not pass the translation of the node that was called, so calls to node addresses (NodePort) fail.",
			Remedy:      "Let clients call VIPs that are routed to the nodes untranslated, or give the nodes addresses that clients reach directly.",
		},
		{
			Cause: RPFilter, Verdict: WorksIf, Lab: labObstacles,
			Meaning:     "The node's strict reverse path filter drops packets of a client whose route leads out by another interface.",
			Consequence: "Requests that another node has forwarded are dropped on arrival, if the data path hands them to the node's network stack.",
			Remedy:      "sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.INTERFACE.rp_filter=2 on the node (the greater of the two counts).",
		},
	}
}

// tunnelCauses are the causes that show between nodes.
func tunnelCauses() []CauseInfo {
	const large = "Requests that fill a packet (uploads) get lost on their way from the node that was called to the pod's; small requests, and all replies, get through."
	return []CauseInfo{
		{
			Cause: GeneveBlocked, Verdict: WorksIf, Lab: labObstacles, Consequence: "Requests do not reach a pod on another node than was called.",
			Meaning: "Between the nodes UDP port 6081 is blocked, while another UDP port is not.",
			Remedy:  "Allow UDP port 6081 between all nodes (security group, firewall), in both directions.",
		},
		{
			Cause: OptionDropped, Verdict: WorksIf,
			Meaning:     "Geneve passes between the nodes, but not with a DSR option.",
			Consequence: "The first packet of each connection, which carries the frontend's address, does not reach the pod's node.",
			Remedy:      "Switch the offload or inspection of Geneve off in the path (ethtool -K DEVICE tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off).",
		},
		{
			Cause: NodesApart, Verdict: WorksIf, Consequence: "Requests do not reach a pod on another node than was called.",
			Meaning: "No UDP passes between the nodes at all.",
			Remedy:  "Give the nodes routes to each other, and allow UDP between them.",
		},
		{
			Cause: MTUTooSmall, Verdict: WorksIf, Lab: labObstacles, Consequence: large,
			Meaning: "The path between the nodes carries less than the nodes' MTU.",
			Remedy:  "Set the nodes' MTU to what the path carries, so that the data path clamps the segment size and tells clients; or raise the path's.",
		},
		{
			Cause: VLANOverhead, Verdict: WorksIf, Lab: labObstacles, Consequence: large,
			Meaning: "The path between the nodes carries 4 or 8 bytes less than the nodes' MTU: the room of one or two VLAN tags.",
			Remedy:  "Raise the MTU of the switch ports or trunk that add the tag by its 4 or 8 bytes, or lower the nodes' by as much.",
		},
		{
			Cause: MTUMixed, Verdict: WorksIf, Lab: labObstacles, Consequence: large,
			Meaning: "The nodes' MTUs differ, and what one node sends is too large for the other to receive.",
			Remedy:  "Give all nodes the same MTU.",
		},
		{
			Cause: ChecksumOffload, Verdict: WorksIf,
			Meaning:     "Geneve packets arrive with wrong checksums or changed bytes.",
			Consequence: "The receiver drops what was forwarded to it, often only from some sizes on.",
			Remedy:      "Switch the faulty offload off: ethtool -K DEVICE tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off tx-checksum-ip-generic off.",
		},
	}
}
