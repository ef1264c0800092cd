package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// MissingError says that the machine lacks something.
type MissingError = shape.MissingError

func missing(feature, how string, err error) error {
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		return &MissingError{Feature: feature, How: how, Err: err}
	}
	return fmt.Errorf("%s: %w", feature, err)
}

// makers is how many namespaces are made at a time: the kernel does most of it without a lock.
const makers = 2

// makeNamespaces makes all namespaces, with their settings.
func (l *Lab) makeNamespaces() error {
	if err := l.makeNamespaceDir(); err != nil {
		return err
	}
	places := l.Places()
	for _, place := range places {
		if err := l.journal.add(entry{Kind: "namespace", Name: namespaceName(l.name, place)}); err != nil {
			return err
		}
	}
	var group errgroup.Group
	for first := range makers {
		group.Go(func() error {
			return onThread(func(func()) error {
				for i := first; i < len(places); i += makers {
					if err := l.makePlace(places[i]); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	return group.Wait()
}

// makeNamespaceDir makes the folder of all named namespaces where there is none, and makes it the lab's then.
func (l *Lab) makeNamespaceDir() error {
	if _, err := os.Stat(namespaceDir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := l.journal.add(entry{Kind: "folder", Name: namespaceDir}); err != nil {
		return err
	}
	return os.MkdirAll(namespaceDir, 0o755)
}

// makePlace makes a place's namespace, and leaves the thread inside.
func (l *Lab) makePlace(place string) error {
	if err := makeNamespace(namespaceName(l.name, place), l.alias(place)); err != nil {
		return missing("network namespaces", "root, and a kernel with CONFIG_NET_NS", err)
	}
	return setSysctls(l.settings(place))
}

// settings are the sysctls of a place's namespace; they are set before it has any device, so devices inherit them.
func (l *Lab) settings(place string) map[string]string {
	s := map[string]string{
		"ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0", // answers come back another way
		"ipv6/conf/default/accept_dad": "0", "ipv6/conf/default/accept_ra": "0",
		"ipv6/conf/default/router_solicitations": "0",
		"ipv4/ip_forward":                        "0", // whatever the host has
	}
	routes := place == Fabric
	for _, n := range l.plan.Nodes {
		routes = routes || n.Name == place && n.Role != topologies.RoleClient
	}
	if routes {
		s["ipv4/ip_forward"] = "1"
		s["ipv6/conf/all/forwarding"] = "1"
		s["ipv4/conf/all/send_redirects"] = "0"
		s["ipv4/conf/default/send_redirects"] = "0"
		s["ipv4/fib_multipath_hash_policy"] = "1" // by ports too
	}
	if place == Fabric { // a switch has no firewall, whatever modules the host has loaded
		s["bridge/bridge-nf-call-iptables"] = "0"
		s["bridge/bridge-nf-call-ip6tables"] = "0"
		s["bridge/bridge-nf-call-arptables"] = "0"
	}
	return s
}

// shaped tells whether any wire has a rate. Then nodes and pods send no super-packets: a token bucket counts a wire's overhead
// once for each.
func (l *Lab) shaped() bool {
	for _, n := range l.plan.Nodes {
		if n.ToNode.Rate > 0 || n.FromNode.Rate > 0 {
			return true
		}
	}
	return false
}

// attrs are those of a new link of the lab.
func (l *Lab) attrs(name, what string, mac topologies.HardwareAddr) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name, a.Alias, a.MTU, a.HardwareAddr, a.Group = name, l.alias(what), l.plan.MTU, net.HardwareAddr(mac), linkGroup
	return a
}

// bridge is the name of a network's bridge in the fabric.
func (l *Lab) bridge(network string) string {
	for i, n := range l.plan.Networks {
		if n.Name == network {
			return fmt.Sprintf("br%d", i)
		}
	}
	return ""
}

// makeWires makes bridges and, straight from the fabric into the nodes, the wires.
func (l *Lab) makeWires() error {
	return l.Do(Fabric, func() error {
		masters := make(map[string]int)
		for _, n := range l.plan.Networks {
			bridge := &netlink.Bridge{LinkAttrs: l.attrs(l.bridge(n.Name), "network "+n.Name, n.MAC)}
			if err := netlink.LinkAdd(bridge); err != nil {
				return missing("bridges", "modprobe bridge", err)
			}
			masters[n.Name] = bridge.Attrs().Index
		}
		for i := range l.plan.Nodes {
			n := &l.plan.Nodes[i]
			attrs := l.attrs(n.Port, "wire of "+n.Name, nil)
			attrs.MasterIndex = masters[n.Network]
			if err := l.makeVeth(attrs, n.Name, n.MAC); err != nil {
				return fmt.Errorf("wire of %s: %w", n.Name, err)
			}
		}
		return nil
	})
}

// makeVeth makes a pair with one end here, up, and eth0 in another place.
func (l *Lab) makeVeth(here netlink.LinkAttrs, there string, mac topologies.HardwareAddr) error {
	ns, err := l.NetNS(there)
	if err != nil {
		return err
	}
	defer ns.Close()
	veth := &netlink.Veth{
		LinkAttrs: here, PeerName: nodeDevice, PeerHardwareAddr: net.HardwareAddr(mac), PeerNamespace: netlink.NsFd(int(ns.Fd())),
	}
	if l.shaped() {
		veth.GSOMaxSegs = 1
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return missing("veth pairs", "modprobe veth", err)
	}
	return raise(veth, here.Alias)
}

// configureDevice brings a place's eth0 up. Call it inside.
func (l *Lab) configureDevice(what string) (netlink.Link, error) {
	device, err := netlink.LinkByName(nodeDevice)
	if err != nil {
		return nil, err
	}
	more := []*nl.RtAttr{nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(l.plan.MTU)))}
	if l.shaped() {
		more = append(more, nl.NewRtAttr(unix.IFLA_GSO_MAX_SEGS, nl.Uint32Attr(1)))
	}
	return device, raise(device, l.alias(what), more...)
}

func (l *Lab) configureNodes() error {
	var errs []error
	for i := range l.plan.Nodes {
		n := &l.plan.Nodes[i]
		if err := l.Do(n.Name, func() error { return l.configureNode(n) }); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (l *Lab) configureNode(n *topologies.Node) error {
	device, err := l.configureDevice("node " + n.Name)
	if err != nil {
		return err
	}
	if err := addAddress(device, n.Address, unix.IFA_F_NOPREFIXROUTE); err != nil {
		return err
	}
	for _, neighbour := range n.Neighbours {
		if err := addNeighbour(device, neighbour); err != nil {
			return err
		}
	}
	// The kernel's own route to the network would lack the congestion control.
	if err := l.addRoute(device, topologies.Route{Destination: n.Address.Masked()}); err != nil {
		return err
	}
	for _, route := range n.Routes {
		if err := l.addRoute(device, route); err != nil {
			return err
		}
	}
	return nil
}

func addAddress(device netlink.Link, address netip.Prefix, flags int) error {
	if address.Addr().Is6() {
		flags |= unix.IFA_F_NODAD
	}
	err := netlink.AddrAdd(device, &netlink.Addr{IPNet: ipNet(address), Flags: flags})
	if err != nil {
		return fmt.Errorf("address %v: %w", address, err)
	}
	return nil
}

func addNeighbour(device netlink.Link, n topologies.Neighbour) error {
	err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: device.Attrs().Index, IP: n.Address.AsSlice(), HardwareAddr: net.HardwareAddr(n.MAC), State: netlink.NUD_PERMANENT,
	})
	if err != nil {
		return fmt.Errorf("neighbour %v: %w", n.Address, err)
	}
	return nil
}

// addRoute adds a route with the plan's congestion control. Without a gateway it is on the device's own link. Without a device
// the kernel finds the one that leads to the gateway.
func (l *Lab) addRoute(device netlink.Link, r topologies.Route) error {
	route := &netlink.Route{Dst: ipNet(r.Destination), Congctl: l.plan.CongestionControl}
	index := 0
	if device != nil {
		index = device.Attrs().Index
	}
	switch len(r.Via) {
	case 0:
		route.LinkIndex, route.Scope = index, netlink.SCOPE_LINK
	case 1:
		route.LinkIndex, route.Gw = index, r.Via[0].AsSlice()
	default:
		for _, via := range r.Via {
			route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{LinkIndex: index, Gw: via.AsSlice()})
		}
	}
	if err := netlink.RouteReplace(route); err != nil {
		if !l.hasCongestionControl() {
			return &MissingError{
				Feature: "the congestion control " + l.plan.CongestionControl, How: "modprobe tcp_" + l.plan.CongestionControl, Err: err,
			}
		}
		return fmt.Errorf("route to %v: %w", r.Destination, err)
	}
	return nil
}

// hasCongestionControl tells whether the kernel has what the plan asks for; the kernel itself calls it an invalid argument.
func (l *Lab) hasCongestionControl() bool {
	available, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
	return err != nil || l.plan.CongestionControl == "" || slices.Contains(strings.Fields(string(available)), l.plan.CongestionControl)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
