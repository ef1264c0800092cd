package kube

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// configReserved are where the cluster's own addresses are from, as far as the configuration says, and its routers.
func configReserved(config Config) []services.Reserved {
	var all []services.Reserved
	for _, p := range config.ServiceCIDRs {
		all = append(all, services.Reserved{Prefix: p, What: fmt.Sprintf("in serviceCIDRs %s, where ClusterIPs are from", p)})
	}
	for _, p := range config.PodNetwork.CIDRs {
		all = append(all, services.Reserved{Prefix: p, What: fmt.Sprintf("in podNetwork.cidrs %s, where pods' addresses are from", p)})
	}
	for i, p := range config.Announce.Peers {
		prefix := netip.PrefixFrom(p.Address, p.Address.BitLen())
		all = append(all, services.Reserved{Prefix: prefix, What: fmt.Sprintf("the address of the router announce.peers[%d]", i), Host: true})
	}
	return all
}

// readReserved reads what the addresses and routes of the node's devices say that no Service may claim.
func readReserved() ([]services.Reserved, error) {
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("addresses of the node's devices: %w", err)
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("routes of the node's main table: %w", err)
	}
	var prefixes []netip.Prefix
	for _, address := range addresses {
		prefixes = append(prefixes, prefixOf(address.IPNet))
	}
	var gateways []netip.Addr
	for _, route := range routes {
		hops := []net.IP{route.Gw}
		for _, hop := range route.MultiPath {
			hops = append(hops, hop.Gw)
		}
		for _, hop := range hops {
			if gateway, ok := netip.AddrFromSlice(hop); ok {
				gateways = append(gateways, gateway.Unmap())
			}
		}
	}
	return hostReserved(prefixes, gateways), nil
}

func prefixOf(n *net.IPNet) netip.Prefix {
	address, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(address.Unmap(), bits)
}

// hostReserved are gateways, and the addresses that no host of a device's networks can have, in order. The devices' own addresses are not
// among them: a node may be given those of VIPs, so that it answers ARP for them. It is pure.
func hostReserved(prefixes []netip.Prefix, gateways []netip.Addr) []services.Reserved {
	var all []services.Reserved
	add := func(a netip.Addr, what string, host bool) {
		all = append(all, services.Reserved{Prefix: netip.PrefixFrom(a, a.BitLen()), What: what, Host: host})
	}
	for _, gateway := range gateways {
		add(gateway, "the address of a gateway", true)
	}
	for _, p := range prefixes {
		network := p.Masked()
		if p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() || p.Addr().BitLen()-p.Bits() < 2 { // no more than two addresses: all are hosts' (RFC 3021, RFC 6164)
			continue
		}
		if p.Addr().Is6() {
			add(network.Addr(), fmt.Sprintf("the anycast address of the routers of %s", network), true) // RFC 4291, section 2.6.1
			continue
		}
		add(network.Addr(), fmt.Sprintf("the network address of %s", network), false)
		add(broadcastOf(network), fmt.Sprintf("the broadcast address of %s", network), false)
	}
	slices.SortFunc(all, func(x, y services.Reserved) int { return x.Prefix.Addr().Compare(y.Prefix.Addr()) })
	return slices.Compact(all)
}

// broadcastOf is the last address of an IPv4 network.
func broadcastOf(network netip.Prefix) netip.Addr {
	first := network.Addr().As4()
	var last [4]byte
	binary.BigEndian.PutUint32(last[:], binary.BigEndian.Uint32(first[:])|^uint32(0)>>network.Bits())
	return netip.AddrFrom4(last)
}
