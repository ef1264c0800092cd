// Package bgp announces VIPs to routers (RFC 4271), from the network namespace of its process. The protocol is GoBGP's.
package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/dsrlab/dsrlab/dataplane/announce"
)

// Options of a Speaker.
type Options struct {
	ASN uint32
	// ID is the BGP identifier, an IPv4 address that no other speaker of the AS has (RFC 6286).
	ID netip.Addr
	// NextHops are the node's own addresses, one of each family at most: VIPs of a family without one are not announced.
	NextHops []netip.Addr
	Peers    []Peer
	Times    Times
	Log      *slog.Logger
}

// Peer is a router, called by the speaker.
type Peer struct {
	Address netip.Addr
	ASN     uint32
	Port    uint16 // default Port
}

// Times of a session, whole seconds.
type Times struct {
	// Hold is after how long without a word a session is dead, three seconds at least (RFC 4271, section 4.2).
	Hold time.Duration
	// Retry is how long to wait before calling a router again.
	Retry time.Duration
}

// Speaker announces VIPs, each as a host route with the node itself as next hop. It is not safe for concurrent use.
type Speaker struct {
	server    *server.BgpServer
	options   Options
	announced map[netip.Addr]bool
	leaving   bool
}

// New calls all peers, and goes on to do so whenever a session ends. It announces nothing yet.
func New(ctx context.Context, o Options) (*Speaker, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Start(ctx, &api.Global{Asn: o.ASN, RouterId: o.ID.String(), ListenPort: -1}, o.Log)
	if err != nil {
		return nil, err
	}
	for _, p := range o.Peers {
		neighbour := Neighbour(p.Address, p.ASN, o.Times, &api.Transport{RemotePort: uint32(p.Port)})
		if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: neighbour}); err != nil {
			s.Stop()
			return nil, fmt.Errorf("call router %s: %w", p.Address, err)
		}
	}
	return &Speaker{server: s, options: o, announced: map[netip.Addr]bool{}}, nil
}

// Set announces the VIPs that the node speaks for, and withdraws all others.
func (s *Speaker) Set(all []announce.Announcement) error {
	want := map[netip.Addr]bool{}
	for _, a := range all {
		if a.Role == announce.Speaks && !s.leaving && s.nextHop(a.VIP).IsValid() {
			want[a.VIP] = true
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

// Leave withdraws all VIPs for good; the sessions stay until Close, so that routers hear of it. Flows go to other nodes then.
func (s *Speaker) Leave() error {
	s.leaving = true
	return s.Set(nil)
}

// Close ends all sessions with a goodbye (RFC 4271, section 6.7), which withdraws what is still announced.
func (s *Speaker) Close() error {
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

// nextHop is not valid where the node has no address of the VIP's family.
func (s *Speaker) nextHop(vip netip.Addr) netip.Addr {
	for _, hop := range s.options.NextHops {
		if hop.Is4() == vip.Is4() {
			return hop
		}
	}
	return netip.Addr{}
}

// pathTo is a host route as BGP has it.
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
