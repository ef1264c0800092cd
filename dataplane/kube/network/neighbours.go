package network

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Neighbours are the entries of the kernel's neighbour tables, of all devices and both families, at one moment.
type Neighbours map[neighbourKey]netlink.Neigh

type neighbourKey struct {
	address netip.Addr
	device  int
}

// ReadNeighbours reads them.
func ReadNeighbours() (Neighbours, error) {
	all := Neighbours{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := netlink.NeighList(0, family)
		if err != nil {
			return nil, fmt.Errorf("read neighbours: %w", err)
		}
		for _, n := range list {
			if address, ok := netip.AddrFromSlice(n.IP); ok {
				all[neighbourKey{address.Unmap(), n.LinkIndex}] = n
			}
		}
	}
	return all, nil
}

// MAC is the address of a neighbour; nil: the kernel does not know it, or has found that nobody answers there.
func (n Neighbours) MAC(address netip.Addr, device int) net.HardwareAddr {
	entry, ok := n[neighbourKey{address, device}]
	if !ok || entry.State&unix.NUD_FAILED != 0 || len(entry.HardwareAddr) != 6 {
		return nil
	}
	return entry.HardwareAddr
}

// Failed reports whether the kernel has asked for the neighbour, and nobody answered.
func (n Neighbours) Failed(address netip.Addr, device int) bool {
	return n[neighbourKey{address, device}].State&unix.NUD_FAILED != 0
}

// isSure reports whether the kernel knows the neighbour and need not find out.
func (n Neighbours) isSure(address netip.Addr, device int) bool {
	return n[neighbourKey{address, device}].State&(unix.NUD_REACHABLE|unix.NUD_PERMANENT|unix.NUD_NOARP) != 0
}

// Resolve lets the kernel find out about a neighbour unless it is sure of it: programs that know the MAC address send without the
// kernel, so it would not notice that the neighbour is in use. One that does not answer is asked for again only with failed.
func (n Neighbours) Resolve(address netip.Addr, device int, failed bool) error {
	if n.isSure(address, device) || n.Failed(address, device) && !failed {
		return nil
	}
	family := netlink.FAMILY_V4
	if address.Is6() {
		family = netlink.FAMILY_V6
	}
	ask := &netlink.Neigh{LinkIndex: device, Family: family, IP: address.AsSlice(), State: unix.NUD_NONE, Flags: netlink.NTF_USE}
	if err := netlink.NeighSet(ask); err != nil {
		return fmt.Errorf("neighbour %s: %w", address, err)
	}
	return nil
}

// Gateway is the neighbour that packets to an address go to by a device: the address itself where it is on the link. It is the zero
// Addr if they take no route by the device.
func Gateway(address netip.Addr, device int) netip.Addr {
	routes, err := netlink.RouteGet(address.AsSlice())
	if err != nil || len(routes) == 0 || routes[0].LinkIndex != device || routes[0].Type != unix.RTN_UNICAST {
		return netip.Addr{}
	}
	if gateway, ok := netip.AddrFromSlice(routes[0].Gw); ok {
		return gateway.Unmap()
	}
	return address
}
