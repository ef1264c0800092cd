package baseline

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// forgetAll empties a namespace's conntrack table. Connections made under one form would go on under the next one otherwise.
func forgetAll(namespace int) error {
	return withConntrack(namespace, func(handle *netlink.Handle) error {
		return handle.ConntrackTableFlush(netlink.ConntrackTable)
	})
}

// forgetStale deletes UDP entries to frontends whose endpoint is not one any more. TCP finds out by itself; a UDP client that
// keeps its port would be sent to the gone endpoint for as long as it keeps sending.
func forgetStale(namespace int, config *Config) error {
	stale := newStaleUDP(config)
	if len(stale.endpoints) == 0 {
		return nil
	}
	return withConntrack(namespace, func(handle *netlink.Handle) error {
		var errs []error
		for _, f := range []netlink.InetFamily{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			_, err := handle.ConntrackDeleteFilters(netlink.ConntrackTable, f, stale)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// withConntrack opens a namespace's conntrack table. A kernel without one has nothing to forget.
func withConntrack(namespace int, do func(*netlink.Handle) error) error {
	handle, err := netlink.NewHandleAt(netns.NsHandle(namespace), unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("open conntrack of network namespace: %w", err)
	}
	defer handle.Close()
	err = do(handle)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clean conntrack: %w", err)
	}
	return nil
}

// staleUDP matches entries to be deleted: it knows the endpoints that each UDP frontend may go to.
type staleUDP struct {
	endpoints map[netip.AddrPort]map[netip.AddrPort]bool
}

func newStaleUDP(config *Config) *staleUDP {
	stale := &staleUDP{endpoints: map[netip.AddrPort]map[netip.AddrPort]bool{}}
	for i := range config.Tables.Frontends {
		f := &config.Tables.Frontends[i]
		if f.Protocol == services.UDP {
			allowed := map[netip.AddrPort]bool{}
			for _, endpoint := range config.endpoints(f.Backends) {
				allowed[endpoint] = true
			}
			stale.endpoints[f.AddrPort()] = allowed
		}
	}
	return stale
}

// MatchConntrackFlow reports whether an entry is stale (netlink.CustomConntrackFilter).
func (s *staleUDP) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != unix.IPPROTO_UDP {
		return false
	}
	asked, ok := netip.AddrFromSlice(flow.Forward.DstIP)
	if !ok {
		return false
	}
	allowed, ours := s.endpoints[netip.AddrPortFrom(asked.Unmap(), flow.Forward.DstPort)]
	if !ours {
		return false
	}
	answers, _ := netip.AddrFromSlice(flow.Reverse.SrcIP)
	return !allowed[netip.AddrPortFrom(answers.Unmap(), flow.Reverse.SrcPort)]
}
