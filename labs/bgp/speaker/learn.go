package speaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	announcebgp "github.com/dsrlab/dsrlab/dataplane/announce/bgp"
	"github.com/dsrlab/dsrlab/labs/bgp"
)

// resync is how often routes are compared with what was learned, beside every time that something changes.
const resync = time.Second

// Learn listens to the router's peers until ctx ends, and keeps routes to what they announce in the main table of its network
// namespace: one next hop for each peer that announces it. Then it takes its routes away.
func Learn(ctx context.Context, r *bgp.Router, log *slog.Logger) (err error) {
	if err := r.Validate(); err != nil {
		return fmt.Errorf("learn VIPs: %w", err)
	}
	s, err := announcebgp.Start(ctx, &api.Global{
		Asn: bgp.RouterASN, RouterId: r.ID.String(), ListenPort: announcebgp.Port, UseMultiplePaths: true,
	}, log)
	if err != nil {
		return fmt.Errorf("learn VIPs: %w", err)
	}
	defer s.Stop()
	changed := make(chan struct{}, 1)
	if err := watch(ctx, s, changed); err != nil {
		return fmt.Errorf("learn VIPs: %w", err)
	}
	for _, address := range r.Peers {
		lb := announcebgp.Neighbour(address, bgp.ClusterASN, times(), &api.Transport{PassiveMode: true})
		if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: lb}); err != nil {
			return fmt.Errorf("learn VIPs from %s: %w", address, err)
		}
	}
	t := &table{installed: make(map[netip.Prefix][]netip.Addr), log: log}
	defer func() { err = errors.Join(err, t.set(nil)) }()
	tick := time.NewTicker(resync)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
		routes, err := learned(s)
		if err != nil {
			return fmt.Errorf("learn VIPs: %w", err)
		}
		if err := t.set(routes); err != nil {
			return err
		}
	}
}

// watch tells of every change of best paths and sessions. A change that comes while one is told of needs no word of its own.
func watch(ctx context.Context, s *server.BgpServer, changed chan<- struct{}) error {
	tell := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	return s.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnBestPath:   func([]*apiutil.Path, time.Time) { tell() },
		OnPeerUpdate: func(*apiutil.WatchEventMessage_PeerEvent, time.Time) { tell() },
	}, server.WatchBestPath(true), server.WatchPeer())
}

// learned are the host routes of the table, each with the next hops of all its best paths, in order.
func learned(s *server.BgpServer) (map[netip.Prefix][]netip.Addr, error) {
	routes := make(map[netip.Prefix][]netip.Addr)
	for _, family := range []gobgp.Family{gobgp.RF_IPv4_UC, gobgp.RF_IPv6_UC} {
		request := apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family}
		err := s.ListPath(request, func(nlri gobgp.NLRI, paths []*apiutil.Path) {
			to, err := netip.ParsePrefix(nlri.String())
			if err != nil || !to.IsSingleIP() {
				return
			}
			for _, p := range paths {
				if hop := nextHop(p); p.Best && hop.IsValid() {
					routes[to] = append(routes[to], hop)
				}
			}
			slices.SortFunc(routes[to], netip.Addr.Compare)
			routes[to] = slices.Compact(routes[to])
		})
		if err != nil {
			return nil, fmt.Errorf("list paths: %w", err)
		}
	}
	return routes, nil
}

func nextHop(p *apiutil.Path) netip.Addr {
	for _, a := range p.Attrs {
		switch a := a.(type) {
		case *gobgp.PathAttributeNextHop:
			return a.Value
		case *gobgp.PathAttributeMpReachNLRI:
			return a.Nexthop
		}
	}
	return netip.Addr{}
}

// table is what Learn has put into the kernel's main table.
type table struct {
	installed map[netip.Prefix][]netip.Addr
	log       *slog.Logger
}

// set makes the kernel's routes those that are wanted. A route that changes is replaced in one step.
func (t *table) set(wanted map[netip.Prefix][]netip.Addr) error {
	var errs []error
	for _, to := range slices.Collect(maps.Keys(t.installed)) {
		if len(wanted[to]) > 0 {
			continue
		}
		t.log.Info("withdrawn", "route", to)
		if err := netlink.RouteDel(routeTo(to, t.installed[to])); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("withdraw %s: %w", to, err))
		}
		delete(t.installed, to)
	}
	for to, hops := range wanted {
		if len(hops) == 0 || slices.Equal(t.installed[to], hops) {
			continue
		}
		t.log.Info("learned", "route", to, "nextHops", hops)
		if err := netlink.RouteReplace(routeTo(to, hops)); err != nil {
			errs = append(errs, fmt.Errorf("learn %s by %v: %w", to, hops, err))
			continue
		}
		t.installed[to] = hops
	}
	return errors.Join(errs...)
}

// routeTo is a route as the kernel has it.
func routeTo(to netip.Prefix, hops []netip.Addr) *netlink.Route {
	route := &netlink.Route{
		Dst:      &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), to.Addr().BitLen())},
		Protocol: unix.RTPROT_BGP, Priority: bgp.Metric,
	}
	if len(hops) == 1 {
		route.Gw = hops[0].AsSlice()
		return route
	}
	for _, hop := range hops {
		route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{Gw: hop.AsSlice()})
	}
	return route
}
