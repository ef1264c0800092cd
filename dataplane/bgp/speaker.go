// Package bgp speaks BGP (RFC 4271) in the network namespace of its process; GoBGP implements the protocol. VIPs selects what a node
// announces, a Speaker announces it to routers. For labs there is the other side, too: Learn is a router that installs a route for each
// VIP, and BirdConfig configures BIRD to be that router.
package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// Options of a Speaker.
type Options struct {
	ASN uint32
	// ID is the BGP identifier: an IPv4 address that is unique in the AS (RFC 6286).
	ID netip.Addr
	// NextHops are the node's own addresses, at most one per family. VIPs of a family without one are not announced.
	NextHops []netip.Addr
	Peers    []Peer
	Timers   Timers
	Log      *slog.Logger
}

// Peer is a router that the speaker connects to.
type Peer struct {
	Address netip.Addr
	ASN     uint32
	Port    uint16 // default 179
	// Multihop is the TTL of packets to a router of another AS that is farther than one hop, from 2 on; 0: it is a neighbour, and packets
	// have TTL 1 (RFC 4271, section 5.1.3).
	Multihop uint8
}

// Speaker announces VIPs, each as a host route with the node itself as next hop. It is not safe for concurrent use.
type Speaker struct {
	server    *server.BgpServer
	sessions  *sessions
	options   Options
	announced map[netip.Addr]bool
	leaving   bool
}

// New connects to all peers, again whenever a session ends. It announces nothing yet. The log has for each session whether it is up, and
// otherwise why not, once and whenever that changes.
func New(ctx context.Context, o Options) (*Speaker, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	all := newSessions(o)
	s, err := start(ctx, &api.Global{Asn: o.ASN, RouterId: o.ID.String(), ListenPort: -1}, slog.New(all.handler(o.Log.Handler())))
	if err != nil {
		return nil, err
	}
	watching := server.WatchEventMessageCallbacks{OnPeerUpdate: all.update}
	if err := s.WatchEvent(context.WithoutCancel(ctx), watching, server.WatchPeer()); err != nil {
		s.Stop()
		return nil, fmt.Errorf("watch BGP sessions: %w", err)
	}
	for _, p := range o.Peers {
		peer := neighbour(p.Address, p.ASN, o.Timers, &api.Transport{RemotePort: uint32(p.Port)})
		if p.Multihop > 0 {
			peer.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(p.Multihop)}
		}
		if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: peer}); err != nil {
			s.Stop()
			return nil, fmt.Errorf("connect to router %s: %w", p.Address, err)
		}
	}
	return &Speaker{server: s, sessions: all, options: o, announced: map[netip.Addr]bool{}}, nil
}

// Set announces vips and withdraws all others.
func (s *Speaker) Set(vips []netip.Addr) error {
	want := map[netip.Addr]bool{}
	for _, vip := range vips {
		if !s.leaving && s.nextHop(vip).IsValid() {
			want[vip] = true
		}
	}
	var errs []error
	for _, vip := range slices.SortedFunc(maps.Keys(s.announced), netip.Addr.Compare) {
		if !want[vip] {
			errs = append(errs, s.withdraw(vip))
		}
	}
	for _, vip := range slices.SortedFunc(maps.Keys(want), netip.Addr.Compare) {
		if !s.announced[vip] {
			errs = append(errs, s.add(vip))
		}
	}
	return errors.Join(errs...)
}

// Leave withdraws all VIPs for good, so that flows go to other nodes. The sessions stay open until Close, so that routers receive the
// withdrawals.
func (s *Speaker) Leave() error {
	s.leaving = true
	return s.Set(nil)
}

// Close ends all sessions with a Cease notification (RFC 4271, section 6.7), which withdraws what is still announced.
func (s *Speaker) Close() error {
	s.sessions.close()
	s.server.Stop()
	return nil
}

func (s *Speaker) add(vip netip.Addr) error {
	path, err := pathTo(vip, s.nextHop(vip))
	if err == nil {
		_, err = s.server.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{path}})
	}
	if err != nil {
		return fmt.Errorf("announce %s: %w", vip, err)
	}
	s.announced[vip] = true
	return nil
}

func (s *Speaker) withdraw(vip netip.Addr) error {
	path, err := pathTo(vip, s.nextHop(vip))
	if err == nil {
		err = s.server.DeletePath(apiutil.DeletePathRequest{Paths: []*apiutil.Path{path}})
	}
	if err != nil {
		return fmt.Errorf("withdraw %s: %w", vip, err)
	}
	delete(s.announced, vip)
	return nil
}

func (s *Speaker) nextHop(vip netip.Addr) netip.Addr { return addressOfFamily(s.options.NextHops, vip) }

// pathTo returns the host route to vip through hop.
func pathTo(vip, hop netip.Addr) (*apiutil.Path, error) {
	nlri, err := gobgp.NewIPAddrPrefix(netip.PrefixFrom(vip, vip.BitLen()))
	if err != nil {
		return nil, err
	}
	path := &apiutil.Path{Family: gobgp.RF_IPv4_UC, Nlri: nlri, Attrs: []gobgp.PathAttributeInterface{gobgp.NewPathAttributeOrigin(0)}}
	var next gobgp.PathAttributeInterface
	if vip.Is4() {
		next, err = gobgp.NewPathAttributeNextHop(hop)
	} else {
		path.Family = gobgp.RF_IPv6_UC
		next, err = gobgp.NewPathAttributeMpReachNLRI(gobgp.RF_IPv6_UC, []gobgp.PathNLRI{{NLRI: nlri}}, hop)
	}
	if err != nil {
		return nil, err
	}
	path.Attrs = append(path.Attrs, next)
	return path, nil
}
