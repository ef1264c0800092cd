package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// Pod is a pod's address, found by the route that the CNI plugin made.
type Pod struct {
	Address netip.Addr
	// Device is the node's end of the pod's veth.
	Device    string
	Index     int
	MAC       net.HardwareAddr // nil: not known yet
	DeviceMAC net.HardwareAddr
}

// Pods are those of the node: what has a route of its own by a veth. A pod that goes meanwhile is left out. The kernel finds out
// about those whose MAC address it is not sure of.
func Pods(inside []netip.Prefix, neighbours Neighbours) ([]Pod, error) {
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
		if err := neighbours.Resolve(address, r.LinkIndex, true); err != nil {
			continue // its device has gone since
		}
		pods = append(pods, Pod{address, link.Attrs().Name, r.LinkIndex, neighbours.MAC(address, r.LinkIndex), link.Attrs().HardwareAddr})
	}
	slices.SortFunc(pods, func(a, b Pod) int { return a.Address.Compare(b.Address) })
	return pods, nil
}
