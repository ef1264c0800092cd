// Package topologies describes the networks that dsrlab builds: clients, load-balancer nodes, pod nodes, the fabric
// between them, the pods on them and the Kubernetes services in front of the pods.
//
// Parse reads a YAML file as a Topology. PlanOf fills in its defaults, checks it and turns it into a Plan: every address, link and
// pod that a substrate has to make. All of this package is pure; topologies/netns and topologies/kind have the effects.
package topologies

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// APIVersion and Kind are at the top of every topology file.
const (
	APIVersion = "dsrlab.dev/v1alpha1"
	Kind       = "Topology"
)

// Role is what a node is for.
type Role string

const (
	RoleClient Role = "client" // sends requests; no pods, no data path
	RoleLB     Role = "lb"     // an LB node: VIPs are routed to it
	RoleWorker Role = "worker" // a pod node
	// Machines in front of the LB nodes; no pods, no data path. Nothing is routed over them until it is asked for at run time.
	RoleNLB    Role = "nlb"    // a network load balancer
	RoleRouter Role = "router" // a router that hears of VIPs by BGP
)

// OutsideCluster reports whether nodes of the role are outside of the cluster: without pods, pod CIDR and data path.
func (r Role) OutsideCluster() bool { return r == RoleClient || r.isEdge() }

// Forwards reports whether nodes of the role forward what isn't for them.
func (r Role) Forwards() bool { return r != RoleClient }

// isEdge reports whether nodes of the role are between the fabric and the LB nodes.
func (r Role) isEdge() bool { return r == RoleNLB || r == RoleRouter }

// SubstrateKind names what a topology is built from.
type SubstrateKind string

const (
	SubstrateNetns SubstrateKind = "netns" // network namespaces of this machine
	SubstrateKindK SubstrateKind = "kind"  // a kind cluster
	// SubstrateCluster is a cluster that exists: labs run on it, and no topology is built from it.
	SubstrateCluster SubstrateKind = "cluster"
)

// Topology is one topology file.
type Topology struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`

	positions *manifest.Positions // of the fields in the file that it was read from, for errors; nil if there is none
}

// Metadata names a topology.
type Metadata struct {
	// Name is a DNS label of at most 32 characters; it is also the default name of the network built from the file.
	Name string `json:"name"`
	// Description is one line for `dsrlab topology list`.
	Description string `json:"description,omitempty"`
}

// Spec is the content of a topology.
type Spec struct {
	// Substrate is what the topology is built from by default.
	Substrate SubstrateKind `json:"substrate,omitempty"`
	// CongestionControl is set on the routes of all clients and pods, never by a sysctl of the host (default cubic).
	CongestionControl string `json:"congestionControl,omitempty"`
	// MTU of every link whose network names no other, in bytes (default 1500).
	MTU int `json:"mtu,omitempty"`
	// Networks are the IP subnets of the fabric, the switch and router between all nodes.
	Networks []NetworkSpec `json:"networks"`
	// Nodes are the clients, LB nodes and pod nodes, and at most one network load balancer and one router in front of them.
	Nodes []NodeSpec `json:"nodes"`
	// Pods run on nodes of role lb or worker.
	Pods []PodSpec `json:"pods,omitempty"`
	// Services are plain Kubernetes v1.Service objects. A VIP is spec.loadBalancerIP or status.loadBalancer.ingress[].ip.
	Services []corev1.Service `json:"services,omitempty"`
}

// NetworkSpec is one network of the fabric: a subnet, or one of each IP version. The fabric answers on its gateways and routes
// between its networks.
type NetworkSpec struct {
	Name string `json:"name"`
	// Subnets are one subnet, or one of each IP version, the primary one first.
	Subnets []netip.Prefix `json:"subnets"`
	// Gateways are one address for each subnet, in any order (default: the last usable address of a subnet, of IPv6 the first).
	Gateways []netip.Addr `json:"gateways,omitempty"`
	// MTU of the network's links and of the pods on its nodes, in bytes (default: the topology's). Of a packet that is too
	// large for the network that it is on its way to, the fabric tells the sender, as any router does.
	MTU int `json:"mtu,omitempty"`
}

// NodeSpec is a node, or several alike.
type NodeSpec struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Replicas > 1 makes nodes NAME-1 … NAME-n; their addresses and pod CIDRs count up from the given ones.
	Replicas int `json:"replicas,omitempty"`
	// Addresses are one address in one of the fabric's networks, or one of each IP version in the same network, the primary one first.
	Addresses []netip.Addr `json:"addresses"`
	// PodCIDRs hold the node's pods: one for each IP version of the node's addresses, the primary one first; for roles lb and worker
	// alone (default: the next free /24 of 10.0.0.0/8, from 10.0.0.0/24; of IPv6 the next free /64 of fd00:10::/48).
	PodCIDRs []netip.Prefix `json:"podCIDRs,omitempty"`
	// Labels are those of the cluster's nodes, for roles lb and worker alone: a zone, say (topology.kubernetes.io/zone), for services with a
	// trafficDistribution.
	Labels map[string]string `json:"labels,omitempty"`
	// Link is the wire between the node and the fabric; without a rate it is not limited.
	Link LinkSpec `json:"link,omitzero"`
}

// LinkSpec limits both directions of a wire alike; ToNode and FromNode override single fields for one direction.
type LinkSpec struct {
	Shape    `json:",inline"`
	ToNode   *Shape `json:"toNode,omitempty"`
	FromNode *Shape `json:"fromNode,omitempty"`
}

// PodSpec is a pod, or several alike.
type PodSpec struct {
	Name string `json:"name"`
	// Node is the name of the node it runs on (of one replica: worker-2, or of all: worker, one pod set on each).
	Node string `json:"node"`
	// Replicas > 1 makes pods NAME-1 … NAME-n.
	Replicas int `json:"replicas,omitempty"`
	// Addresses are one of each pod CIDR of the node (default: the next free one, from .2).
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Labels are what services select by.
	Labels map[string]string `json:"labels,omitempty"`
	// Workload is what runs in the pod.
	Workload []WorkloadSpec `json:"workload,omitempty"`
}

// WorkloadKind names a server of labs/workload.
type WorkloadKind string

const (
	WorkloadEcho WorkloadKind = "echo" // TCP and UDP: says who it saw, as a line or as HTTP
	WorkloadBulk WorkloadKind = "bulk" // TCP: sends or takes bytes as fast as it can
	WorkloadDNS  WorkloadKind = "dns"  // TCP and UDP: answers a name with the client's address

	WorkloadInference WorkloadKind = "inference" // HTTP: answers of any size, in one piece or as a stream of tokens
	WorkloadDownload  WorkloadKind = "download"  // TCP: many slow downloads, each byte of which is checked
)

// WorkloadKinds are all kinds.
func WorkloadKinds() []WorkloadKind {
	return []WorkloadKind{WorkloadEcho, WorkloadBulk, WorkloadDNS, WorkloadInference, WorkloadDownload}
}

// servesUDP reports whether servers of the kind answer datagrams, too.
func (k WorkloadKind) servesUDP() bool { return k == WorkloadEcho || k == WorkloadDNS }

// workloadNames are the kinds as texts.
func workloadNames() []string {
	var all []string
	for _, k := range WorkloadKinds() {
		all = append(all, string(k))
	}
	return all
}

// WorkloadSpec is one server in a pod.
type WorkloadSpec struct {
	Kind WorkloadKind `json:"kind"`
	Port uint16       `json:"port"`
	// Name is the port's name, for services whose targetPort is a name.
	Name string `json:"name,omitempty"`
}
