package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Pod is a pod's address, found by the route that the CNI plugin made.
type Pod struct {
	Address netip.Addr
	// Device is the node's end of the pod's veth.
	Device    string
	Index     int
	MAC       net.HardwareAddr // nil: not known yet, the kernel has been asked to find out
	DeviceMAC net.HardwareAddr
}

// Pods are those of the node: what has a route of its own by a veth.
func Pods(inside []netip.Prefix) ([]Pod, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("find pods: %w", err)
	}
	var pods []Pod
	for _, r := range routes {
		if r.Dst == nil || r.Gw != nil || r.LinkIndex == 0 {
			continue
		}
		ones, bits := r.Dst.Mask.Size()
		address, ok := netip.AddrFromSlice(r.Dst.IP)
		address = address.Unmap()
		if !ok || ones != bits || !slices.ContainsFunc(inside, func(p netip.Prefix) bool { return p.Contains(address) }) {
			continue
		}
		link, err := netlink.LinkByIndex(r.LinkIndex)
		if err != nil || link.Type() != "veth" { // the pod may just have gone
			continue
		}
		mac, err := Neighbour(address, r.LinkIndex)
		if err != nil {
			return nil, fmt.Errorf("find pods: %w", err)
		}
		pods = append(pods, Pod{address, link.Attrs().Name, r.LinkIndex, mac, link.Attrs().HardwareAddr})
	}
	slices.SortFunc(pods, func(a, b Pod) int { return a.Address.Compare(b.Address) })
	return pods, nil
}

// Neighbour is the MAC address of a neighbour, nil if the kernel does not know it; then, and where it is not sure any more, it is
// asked to find out.
func Neighbour(address netip.Addr, device int) (net.HardwareAddr, error) {
	family := netlink.FAMILY_V4
	if address.Is6() {
		family = netlink.FAMILY_V6
	}
	list, err := netlink.NeighList(device, family)
	if err != nil {
		return nil, fmt.Errorf("neighbour %s: %w", address, err)
	}
	var mac net.HardwareAddr
	for _, n := range list {
		if have, ok := netip.AddrFromSlice(n.IP); !ok || have.Unmap() != address || n.State&unix.NUD_FAILED != 0 {
			continue
		}
		if mac = n.HardwareAddr; n.State&(unix.NUD_REACHABLE|unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 && len(mac) == 6 {
			return mac, nil
		}
	}
	ask := &netlink.Neigh{LinkIndex: device, Family: family, IP: address.AsSlice(), State: unix.NUD_NONE, Flags: netlink.NTF_USE}
	if err := netlink.NeighSet(ask); err != nil {
		return nil, fmt.Errorf("neighbour %s: %w", address, err)
	}
	if len(mac) != 6 {
		return nil, nil
	}
	return mac, nil
}

// Changes tells when routes or neighbours have changed, until ctx ends: pods come and go.
func Changes(ctx context.Context) (<-chan struct{}, error) {
	routes, neighbours := make(chan netlink.RouteUpdate, 64), make(chan netlink.NeighUpdate, 64)
	if err := netlink.RouteSubscribe(routes, ctx.Done()); err != nil {
		return nil, fmt.Errorf("watch routes: %w", err)
	}
	if err := netlink.NeighSubscribe(neighbours, ctx.Done()); err != nil {
		return nil, fmt.Errorf("watch neighbours: %w", err)
	}
	changed := make(chan struct{}, 1)
	go func() {
		for {
			select {
			case _, ok := <-routes:
				if !ok {
					return
				}
			case _, ok := <-neighbours:
				if !ok {
					return
				}
			}
			select {
			case changed <- struct{}{}:
			default: // it is to be told already
			}
		}
	}()
	return changed, nil
}
