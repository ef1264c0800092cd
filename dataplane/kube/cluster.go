package kube

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Cluster holds what is known of a cluster, and what follows for the services. It is pure, and not safe for concurrent use.
type Cluster struct {
	tracker  *services.Tracker
	nodes    map[string]*corev1.Node
	peers    []Peer
	problems []services.Problem
}

// NewCluster knows nothing yet.
func NewCluster(config Config) *Cluster {
	return &Cluster{
		tracker: services.NewTracker(services.Options{Mode: config.LoadBalancer.Mode, TableSize: config.LoadBalancer.TableSize}),
		nodes:   map[string]*corev1.Node{},
	}
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
	peers, problems := PeersOf(slices.Collect(maps.Values(c.nodes)))
	c.problems = problems
	if slices.EqualFunc(peers, c.peers, equalPeers) {
		return nil, false
	}
	c.peers = peers
	return c.tracker.SetNodes(serviceNodes(peers)), true
}

func equalPeers(a, b Peer) bool {
	return a.Name == b.Name && a.Excluded == b.Excluded &&
		slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.PodCIDRs, b.PodCIDRs)
}

// Peers are all usable nodes, ordered by name.
func (c *Cluster) Peers() []Peer { return c.peers }

// Tables are those of all services.
func (c *Cluster) Tables() *services.Tables { return c.tracker.Tables() }

// Problems are what could not be used of the objects.
func (c *Cluster) Problems() []services.Problem {
	return slices.Concat(c.problems, c.tracker.Problems())
}
