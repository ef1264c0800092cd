package kube

import (
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Cluster holds what is known of a cluster, and what follows for the services. It is pure, and not safe for concurrent use but for
// Leaving.
type Cluster struct {
	tracker  *services.Tracker
	nodes    map[string]*corev1.Node
	peers    []Peer
	problems []services.Problem
	reserved []services.Reserved // by the configuration
	leaving  sync.Map            // names of nodes
}

// NewCluster knows nothing yet.
func NewCluster(config Config) *Cluster {
	c := &Cluster{
		tracker: services.NewTracker(services.Options{
			Mode: config.LoadBalancer.Mode, ExternalIPs: config.LoadBalancer.ExternalIPs,
		}),
		nodes: map[string]*corev1.Node{}, reserved: configReserved(config),
	}
	c.SetReserved(nil)
	return c
}

// SetReserved takes the addresses that no Service may claim, beyond those of the configuration.
func (c *Cluster) SetReserved(reserved []services.Reserved) {
	c.tracker.SetReserved(slices.Concat(c.reserved, reserved))
}

// Take takes an event. It returns the services that it changes, and whether the nodes have changed.
func (c *Cluster) Take(e Event) (changes []services.Change, nodes bool) {
	switch {
	case e.Service != nil && e.Gone:
		return c.tracker.Delete(e.Service.Namespace, e.Service.Name), false
	case e.Service != nil:
		return c.tracker.Apply(e.Service), false
	case e.Slice != nil && e.Gone:
		return c.tracker.DeleteSlice(e.Slice.Namespace, e.Slice.Name), false
	case e.Slice != nil:
		return c.tracker.ApplySlice(e.Slice), false
	case e.Node != nil:
		return c.takeNode(e)
	}
	return nil, false
}

// takeNode heeds only what follows from a node: kubelet writes its status every few seconds.
func (c *Cluster) takeNode(e Event) ([]services.Change, bool) {
	if e.Gone {
		delete(c.nodes, e.Node.Name)
	} else {
		c.nodes[e.Node.Name] = e.Node
	}
	if isLeaving(e.Node) || e.Gone {
		c.leaving.Store(e.Node.Name, nil)
	} else {
		c.leaving.Delete(e.Node.Name)
	}
	peers, problems := PeersOf(slices.Collect(maps.Values(c.nodes)))
	c.problems = problems
	if slices.EqualFunc(peers, c.peers, equalPeers) {
		return nil, false
	}
	c.peers = peers
	return c.tracker.SetNodes(serviceNodes(peers)), true
}

// Leaving reports whether a node is being deleted, so that load balancers in front should send it nothing new. Any goroutine may ask.
func (c *Cluster) Leaving(node string) bool {
	_, leaving := c.leaving.Load(node)
	return leaving
}

// isLeaving reports whether the cluster's autoscaler, or who has deleted the Node, is about to take the node away. kube-proxy's healthz
// looks at the same (KEP-3836).
func isLeaving(n *corev1.Node) bool {
	return n.DeletionTimestamp != nil ||
		slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "ToBeDeletedByClusterAutoscaler" })
}

func equalPeers(a, b Peer) bool {
	return a.Name == b.Name && a.Excluded == b.Excluded && a.Zone == b.Zone &&
		slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.Others, b.Others) && slices.Equal(a.PodCIDRs, b.PodCIDRs)
}

// Peers are all usable nodes, ordered by name.
func (c *Cluster) Peers() []Peer { return c.peers }

// Tables are those of all services.
func (c *Cluster) Tables() *services.Tables { return c.tracker.Tables() }

// Problems are what could not be used of the objects.
func (c *Cluster) Problems() []services.Problem {
	return slices.Concat(c.problems, c.tracker.Problems())
}
