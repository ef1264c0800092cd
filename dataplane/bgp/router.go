package bgp

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
)

// resync is how often routes are compared with what was learned, in addition to every change.
const resync = time.Second

// Learn accepts sessions from the router's peers until ctx ends, and keeps a route to each VIP they announce in the main table of its
// network namespace, with one next hop per peer that announces it. Then it removes its routes.
func Learn(ctx context.Context, r *Router, log *slog.Logger) (err error) {
	if err := r.Validate(); err != nil {
		return fmt.Errorf("learn VIPs: %w", err)
	}
	s, err := start(ctx, &api.Global{
		Asn: RouterASN, RouterId: r.ID.String(), ListenPort: port, UseMultiplePaths: true,
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
		lb := neighbour(address, ClusterASN, labTimers(), &api.Transport{PassiveMode: true})
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

// watch signals changed whenever best paths or sessions change. Changes that come while a signal is pending share it.
func watch(ctx context.Context, s *server.BgpServer, changed chan<- struct{}) error {
	signal := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	return s.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnBestPath:   func([]*apiutil.Path, time.Time) { signal() },
		OnPeerUpdate: func(*apiutil.WatchEventMessage_PeerEvent, time.Time) { signal() },
	}, server.WatchBestPath(true), server.WatchPeer())
}

// learned returns the host routes of the table, each with the next hops of all its best paths, in order.
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
				if hop := nextHopOf(p); p.Best && hop.IsValid() {
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

func nextHopOf(p *apiutil.Path) netip.Addr {
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

// table holds the routes that Learn has installed in the kernel's main table.
type table struct {
	installed map[netip.Prefix][]netip.Addr
	log       *slog.Logger
}

// set installs the wanted routes and removes all others. A route that changes is replaced in one step.
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

// routeTo returns the kernel route to a VIP by hops.
func routeTo(to netip.Prefix, hops []netip.Addr) *netlink.Route {
	route := &netlink.Route{
		Dst:      &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), to.Addr().BitLen())},
		Protocol: unix.RTPROT_BGP, Priority: Metric,
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
