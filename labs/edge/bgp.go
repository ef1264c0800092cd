package edge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/bgp"
	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// Names of the BGP processes, for their logs.
const (
	routerProcess   = "bgp-router"
	announceProcess = "bgp-" // and the LB node
)

// learnTimeout is how long a router may take to learn all VIPs: many times the shortest time that GoBGP waits before it connects again.
const learnTimeout = time.Minute

// startBGP starts the router, and all LB nodes' speakers, and waits until it has learned all VIPs from all of them.
func startBGP(ctx context.Context, tb *testbed.Testbed, e testbed.Edge, router *topologies.Node) error {
	if err := tb.Network().Do(router.Name, func() error { return refuseVIPs(tb) }); err != nil {
		return err
	}
	if err := startRouter(ctx, tb, e, router); err != nil {
		return err
	}
	for _, n := range tb.LBNodes() {
		if err := announce(ctx, tb, n, router); err != nil {
			return err
		}
	}
	return waitLearned(ctx, tb, router.Name, vipRoutes(tb))
}

func startRouter(ctx context.Context, tb *testbed.Testbed, e testbed.Edge, router *topologies.Node) error {
	r := &bgp.Router{ID: routerID(tb, *router)}
	for _, n := range tb.LBNodes() {
		r.Peers = append(r.Peers, n.AddressFor(router.Addresses[0].Addr()))
	}
	if err := r.Validate(); err != nil {
		return err
	}
	argv, err := routerCommand(tb, e, r)
	if err != nil {
		return err
	}
	_, err = tb.Network().Start(ctx, router.Name, netns.Process{Name: routerProcess, Argv: argv})
	return err
}

func routerCommand(tb *testbed.Testbed, e testbed.Edge, r *bgp.Router) ([]string, error) {
	if e == testbed.EdgeBird {
		bird, err := exec.LookPath("bird")
		if err != nil {
			return nil, &netns.MissingError{Feature: "BIRD", How: "apt-get install bird2", Err: err}
		}
		config := filepath.Join(tb.Network().Dir(), "bird.conf")
		if err := os.WriteFile(config, []byte(r.BirdConfig()), 0o600); err != nil {
			return nil, fmt.Errorf("configure BIRD: %w", err)
		}
		return []string{bird, "-f", "-c", config, "-s", filepath.Join(tb.Network().Dir(), "bird.ctl")}, nil
	}
	labPod, err := tb.LabPod()
	if err != nil {
		return nil, err
	}
	argv := []string{labPod, "bgp", "learn", "--id", r.ID.String()}
	for _, p := range r.Peers {
		argv = append(argv, "--peer", p.String())
	}
	return argv, nil
}

// announce starts an LB node's speaker.
func announce(ctx context.Context, tb *testbed.Testbed, n topologies.Node, router *topologies.Node) error {
	labPod, err := tb.LabPod()
	if err != nil {
		return err
	}
	argv := []string{labPod, "bgp", "announce", "--id", routerID(tb, n).String(), "--router", router.Addresses[0].Addr().String()}
	for _, a := range n.Addrs() {
		argv = append(argv, "--next-hop", a.String())
	}
	for _, r := range vipRoutes(tb) {
		if n.AddressFor(r.Destination.Addr()).IsValid() {
			argv = append(argv, "--vip", r.Destination.Addr().String())
		}
	}
	_, err = tb.Network().Start(ctx, n.Name, netns.Process{Name: announceProcess + n.Name, Argv: argv})
	return err
}

// StopAnnouncing ends an LB node's BGP speaker, as when a node is taken out of service, and returns when the router has no
// route to it any more.
func StopAnnouncing(ctx context.Context, tb *testbed.Testbed, node string) error {
	return changeAnnouncing(ctx, tb, node, func(*topologies.Node, topologies.Node) error {
		return tb.Network().Stop(ctx, announceProcess+node)
	})
}

// StartAnnouncing starts the speaker again, and returns when the router has learned the VIPs from it.
func StartAnnouncing(ctx context.Context, tb *testbed.Testbed, node string) error {
	return changeAnnouncing(ctx, tb, node, func(router *topologies.Node, n topologies.Node) error {
		return errors.Join(tb.Network().Stop(ctx, announceProcess+node), announce(ctx, tb, n, router))
	})
}

func changeAnnouncing(ctx context.Context, tb *testbed.Testbed, node string, change func(router *topologies.Node, n topologies.Node) error) error {
	e, err := Of(tb)
	if err != nil {
		return err
	}
	lbs := tb.LBNodes()
	i := slices.IndexFunc(lbs, func(n topologies.Node) bool { return n.Name == node })
	if i < 0 || roleOf(e) != topologies.RoleRouter {
		return fmt.Errorf("announce on %s: want an LB node, and edge %s or %s; the edge is %s", node, testbed.EdgeBGP, testbed.EdgeBird, e)
	}
	router, err := Node(tb, e)
	if err != nil {
		return err
	}
	if err := change(router, lbs[i]); err != nil {
		return fmt.Errorf("announce on %s: %w", node, err)
	}
	return waitLearned(ctx, tb, router.Name, announced(tb))
}

// announced returns the routes of VIPs to the LB nodes whose speaker is running.
func announced(tb *testbed.Testbed) []topologies.Route {
	var all []topologies.Route
	for _, r := range vipRoutes(tb) {
		var via []netip.Addr
		for _, n := range tb.LBNodes() {
			if a := n.AddressFor(r.Destination.Addr()); a.IsValid() && tb.Network().IsRunning(announceProcess+n.Name) {
				via = append(via, a)
			}
		}
		if len(via) > 0 {
			slices.SortFunc(via, netip.Addr.Compare)
			all = append(all, topologies.Route{Destination: r.Destination, Via: via})
		}
	}
	return all
}

// waitLearned waits until the router's routes to VIPs are these.
func waitLearned(ctx context.Context, tb *testbed.Testbed, router string, want []topologies.Route) error {
	ctx, cancel := context.WithTimeoutCause(ctx, learnTimeout, fmt.Errorf("the router has not learned them within %s", learnTimeout))
	defer cancel()
	same := func(a, b topologies.Route) bool { return a.Destination == b.Destination && slices.Equal(a.Via, b.Via) }
	for {
		have, err := VIPRoutes(tb, router)
		if err != nil {
			return err
		}
		if slices.EqualFunc(have, want, same) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("learn VIPs: %w; the routes are %s (want %s); see the logs %s*.log", context.Cause(ctx), words.List(have), words.List(want), announceProcess)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stopBGP stops all speakers that are running.
func stopBGP(ctx context.Context, tb *testbed.Testbed, router string) error {
	errs := []error{tb.Network().Stop(ctx, routerProcess)}
	for _, n := range tb.LBNodes() {
		errs = append(errs, tb.Network().Stop(ctx, announceProcess+n.Name))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop BGP of %s: %w", router, err)
	}
	return nil
}

// routerID is a node's BGP identifier: its IPv4 address, or for a node that has none, one made up:
// they need only differ.
func routerID(tb *testbed.Testbed, n topologies.Node) netip.Addr {
	for _, a := range n.Addrs() {
		if a.Is4() {
			return a
		}
	}
	i := slices.IndexFunc(tb.Plan().Nodes, func(other topologies.Node) bool { return other.Name == n.Name })
	return netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i + 1)})
}
