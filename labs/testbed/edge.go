package testbed

import (
	"fmt"
	"slices"

	"github.com/dsrlab/dsrlab/internal/words"
)

// Edge is the kind of load balancer or router in front of the LB nodes, which package edge makes.
type Edge string

const (
	// EdgeNone: the fabric itself spreads flows over the LB nodes (equal-cost multipath).
	EdgeNone Edge = ""
	// EdgeStateless: the node of role nlb spreads flows over the LB nodes and leaves packets unchanged.
	EdgeStateless Edge = "nlb-stateless"
	// EdgeStateful: the node of role nlb translates VIP and port to an LB node's NodePort, and expects the answers. It keeps
	// the client's address.
	EdgeStateful Edge = "nlb-stateful"
	// EdgeBGP: the node of role router spreads flows over the LB nodes that announce the VIP to it.
	EdgeBGP Edge = "bgp"
	// EdgeBird is EdgeBGP with BIRD as the router's daemon.
	EdgeBird Edge = "bgp-bird"
)

// Edges returns all edges.
func Edges() []Edge { return []Edge{EdgeNone, EdgeStateless, EdgeStateful, EdgeBGP, EdgeBird} }

// Validate returns an error for an unknown edge.
func (e Edge) Validate() error {
	if !slices.Contains(Edges(), e) {
		return fmt.Errorf("edge: unknown edge %q (want one of %s)", e, words.List(Edges()))
	}
	return nil
}

// String returns the name of the edge; none for EdgeNone.
func (e Edge) String() string {
	if e == EdgeNone {
		return "none"
	}
	return string(e)
}
