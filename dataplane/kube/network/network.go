// Package network is a node's pod network: routes to other nodes' pods, addresses that no one has, what leaves the cluster, the
// container runtime's configuration, and which pods there are. All functions act in the network namespace of their caller, are
// idempotent, and touch nothing that is not marked as the agent's own (routes by Protocol, rules by their table).
package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/google/renameio/v2"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Protocol marks the agent's routes; it is free in iproute2's rt_protos.
const Protocol netlink.RouteProtocol = 213

// lastResort is a priority behind every route that someone means to be used.
const lastResort = 4278198272

// Route leads to Via, or nowhere if that is zero: then packets to it are refused as unreachable. With Service it leads to the
// default gateway's device, ahead of what is unreachable.
type Route struct {
	To      netip.Prefix
	Via     netip.Addr
	Service bool
}

// Device is the name of the device that the default route leads to.
func Device() (string, error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		gateway, err := defaultRoute(family)
		if err != nil {
			return "", fmt.Errorf("find device: %w", err)
		}
		if gateway == nil {
			continue
		}
		link, err := netlink.LinkByIndex(gateway.LinkIndex)
		if err != nil {
			return "", fmt.Errorf("find device: %w", err)
		}
		return link.Attrs().Name, nil
	}
	return "", errors.New("find device: there is no default route: name the device that leads to the other nodes")
}

// defaultRoute is the first one by a gateway; nil: there is none.
func defaultRoute(family int) (*netlink.Route, error) {
	routes, err := netlink.RouteList(nil, family)
	if err != nil {
		return nil, err
	}
	for i := range routes {
		r := &routes[i]
		if (r.Dst == nil || isEverything(r.Dst)) && r.Gw != nil && r.LinkIndex != 0 {
			return r, nil
		}
	}
	return nil, nil
}

func isEverything(n *net.IPNet) bool {
	ones, _ := n.Mask.Size()
	return ones == 0
}

// Addresses are all usable ones of a device, in the kernel's order: IPv4 first.
func Addresses(device string) ([]netip.Addr, error) {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", device, err)
	}
	var all []netip.Addr
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := netlink.AddrList(link, family)
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", device, err)
		}
		for _, a := range list {
			if address, ok := netip.AddrFromSlice(a.IP); ok && address.Unmap().IsGlobalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
				all = append(all, address.Unmap())
			}
		}
	}
	return all, nil
}

// HasDevice reports whether there still is a device of that name and index.
func HasDevice(name string, index int) bool {
	device, err := net.InterfaceByName(name)
	return err == nil && device.Index == index
}

// SyncRoutes makes the agent's routes those, and no others.
func SyncRoutes(device string, want []Route) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	have, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: Protocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	var errs []error
	var wanted []*netlink.Route
	for _, w := range want {
		r, err := kernelRoute(w, link.Attrs().Index)
		if err != nil {
			errs = append(errs, err)
		} else if r != nil {
			wanted = append(wanted, r)
		}
	}
	for _, r := range wanted {
		if !slices.ContainsFunc(have, func(h netlink.Route) bool { return same(r, &h) }) {
			if err := netlink.RouteReplace(r); err != nil {
				errs = append(errs, fmt.Errorf("add route to %s: %w", r.Dst, err))
			}
		}
	}
	for i := range have {
		if !slices.ContainsFunc(wanted, func(w *netlink.Route) bool { return same(w, &have[i]) }) {
			if err := netlink.RouteDel(&have[i]); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, fmt.Errorf("remove route to %s: %w", have[i].Dst, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Refuse adds routes that make prefixes unreachable, and removes none.
func Refuse(prefixes []netip.Prefix) error {
	for _, p := range prefixes {
		r, err := kernelRoute(Route{To: p}, 0)
		if err == nil {
			err = netlink.RouteReplace(r)
		}
		if err != nil {
			return fmt.Errorf("make %s unreachable: %w", p, err)
		}
	}
	return nil
}

// kernelRoute is nil where a service's route has no gateway to lead to.
func kernelRoute(w Route, device int) (*netlink.Route, error) {
	r := &netlink.Route{
		Dst: &net.IPNet{IP: w.To.Addr().AsSlice(), Mask: net.CIDRMask(w.To.Bits(), w.To.Addr().BitLen())}, Protocol: Protocol,
	}
	switch {
	case w.Service:
		family := netlink.FAMILY_V4
		if w.To.Addr().Is6() {
			family = netlink.FAMILY_V6
		}
		gateway, err := defaultRoute(family)
		if err != nil || gateway == nil {
			return nil, err
		}
		r.LinkIndex, r.Gw, r.Priority = gateway.LinkIndex, gateway.Gw, 1024
	case w.Via.IsValid():
		r.LinkIndex, r.Gw, r.Priority = device, w.Via.AsSlice(), 1024
	default:
		r.Type, r.Priority = unix.RTN_UNREACHABLE, lastResort
	}
	return r, nil
}

// same compares what the agent sets.
func same(w, h *netlink.Route) bool {
	return h.Dst != nil && w.Dst.String() == h.Dst.String() && w.Gw.Equal(h.Gw) && w.Priority == h.Priority &&
		(w.Type == unix.RTN_UNREACHABLE) == (h.Type == unix.RTN_UNREACHABLE)
}

// WriteCNI writes a configuration list in one step, if it is another than there is.
func WriteCNI(dir, config string) error {
	if config == "" {
		return nil
	}
	file := filepath.Join(dir, "10-dsrlab.conflist")
	if have, err := os.ReadFile(file); err == nil && string(have) == config {
		return nil
	}
	// The temporary file beside it ends in a number: runtimes read *.conf, *.conflist and *.json only.
	if err := renameio.WriteFile(file, []byte(config), 0o644, renameio.WithTempDir(dir)); err != nil {
		return fmt.Errorf("write CNI configuration: %w", err)
	}
	return nil
}
