// Package speaker speaks BGP in the network namespace of its process: it announces VIPs, or learns them and makes routes of
// them. The protocol is GoBGP's.
package speaker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/dsrlab/dsrlab/labs/bgp"
)

// Port is where BGP listens (RFC 4271).
const Port = 179

// Announce calls the router and announces the VIPs until ctx ends; then it says goodbye, and the router forgets them.
func Announce(ctx context.Context, a *bgp.Announcement, log *slog.Logger) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("announce VIPs: %w", err)
	}
	s, err := start(ctx, &api.Global{Asn: bgp.ClusterASN, RouterId: a.RouterID.String(), ListenPort: -1}, log)
	if err != nil {
		return fmt.Errorf("announce VIPs: %w", err)
	}
	defer s.Stop()
	for _, vip := range a.VIPs {
		path, err := pathTo(vip, a.NextHop(vip))
		if err != nil {
			return fmt.Errorf("announce %s: %w", vip, err)
		}
		if _, err := s.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{path}}); err != nil {
			return fmt.Errorf("announce %s: %w", vip, err)
		}
	}
	router := peer(a.Router, bgp.RouterASN, &api.Transport{})
	if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: router}); err != nil {
		return fmt.Errorf("announce VIPs to %s: %w", a.Router, err)
	}
	<-ctx.Done()
	return nil
}

// start starts a server that serves until it is stopped.
func start(ctx context.Context, global *api.Global, log *slog.Logger) (*server.BgpServer, error) {
	level := new(slog.LevelVar)
	s := server.NewBgpServer(server.LoggerOption(log, level))
	go s.Serve()
	if err := s.StartBgp(ctx, &api.StartBgpRequest{Global: global}); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start BGP: %w", err)
	}
	return s, nil
}

// peer is a neighbour in the same network, that routes of both IP versions are exchanged with.
func peer(address netip.Addr, asn uint32, transport *api.Transport) *api.Peer {
	p := &api.Peer{
		Conf: &api.PeerConf{NeighborAddress: address.String(), PeerAsn: asn},
		Timers: &api.Timers{Config: &api.TimersConfig{
			ConnectRetry: uint64(bgp.ConnectRetry.Seconds()), IdleHoldTimeAfterReset: uint64(bgp.ConnectRetry.Seconds()),
			HoldTime: uint64(bgp.HoldTime.Seconds()), KeepaliveInterval: uint64(bgp.HoldTime.Seconds()) / 3,
		}},
		Transport: transport,
	}
	for _, afi := range []api.Family_Afi{api.Family_AFI_IP, api.Family_AFI_IP6} {
		p.AfiSafis = append(p.AfiSafis, &api.AfiSafi{Config: &api.AfiSafiConfig{
			Family: &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}, Enabled: true,
		}})
	}
	return p
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
