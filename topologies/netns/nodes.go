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
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/internal/capability"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// MissingError means that the machine lacks something.
type MissingError = shape.MissingError

func missing(feature, how string, err error) error {
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOSYS) || capability.Refused(err) {
		return &MissingError{Feature: feature, How: capability.How(err, how), Err: err}
	}
	return fmt.Errorf("%s: %w", feature, err)
}

// attrs are those of a new link of the network; an MTU of 0 is the kernel's own.
func attrs(name string, mac topologies.HardwareAddr, mtu int) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name, a.MTU, a.HardwareAddr, a.Group = name, mtu, net.HardwareAddr(mac), linkGroup
	return a
}

// bridge is the name of a network's bridge in the fabric.
func (nw *Network) bridge(network string) string {
	for i, n := range nw.plan.Networks {
		if n.Name == network {
			return BridgeName(i)
		}
	}
	return ""
}

// BridgeName is the fabric's device of the network with an index in the plan.
func BridgeName(network int) string { return fmt.Sprintf("br%d", network) }

// makeWires makes bridges and, straight from the fabric into the nodes, the wires.
func (b *builder) makeWires() error {
	fabric := b.ns(Fabric)
	masters := make(map[string]int)
	for _, n := range b.plan.Networks {
		bridge := &netlink.Bridge{LinkAttrs: attrs(b.bridge(n.Name), n.MAC, n.MTU)}
		if err := fabric.conn.LinkAdd(bridge); err != nil {
			return missing("bridges", "modprobe bridge", err)
		}
		masters[n.Name] = bridge.Attrs().Index
	}
	for i := range b.plan.Nodes {
		n := &b.plan.Nodes[i]
		if b.isExternal(n.Name) {
			continue
		}
		end := attrs(n.Port, nil, b.plan.MTUOf(n))
		end.MasterIndex = masters[n.Network]
		if _, err := b.makeVeth(fabric, end, b.alias("wire of "+n.Name), b.ns(n.Name), n.MAC); err != nil {
			return fmt.Errorf("wire of %s: %w", n.Name, err)
		}
	}
	return b.attachExternalNodes(masters)
}

// makeVeth makes a pair with one end in one namespace, up, and eth0 in another.
func (b *builder) makeVeth(here *namespace, end netlink.LinkAttrs, alias string, there *namespace, mac topologies.HardwareAddr) (netlink.Link, error) {
	veth := &netlink.Veth{
		LinkAttrs: end, PeerName: nodeDevice, PeerHardwareAddr: net.HardwareAddr(mac), PeerNamespace: netlink.NsFd(there.fd),
	}
	if err := here.conn.LinkAdd(veth); err != nil {
		return nil, missing("veth pairs", "modprobe veth", err)
	}
	return veth, here.conn.Raise(veth, alias)
}

// configureDevice brings a namespace's eth0 up.
func (b *builder) configureDevice(ns *namespace, alias string) (netlink.Link, error) {
	device, err := ns.link(nodeDevice)
	if err != nil {
		return nil, err
	}
	return device, ns.conn.Raise(device, alias)
}

func (b *builder) configureNodes() error {
	for i := range b.plan.Nodes {
		n := &b.plan.Nodes[i]
		configure := b.configureNode
		if b.isExternal(n.Name) {
			configure = b.configureExternalNode
		}
		if err := configure(b.ns(n.Name), n); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

func (b *builder) configureNode(ns *namespace, n *topologies.Node) error {
	device, err := b.configureDevice(ns, b.alias("node "+n.Name))
	if err != nil {
		return err
	}
	var routes []topologies.Route
	for _, address := range n.Addresses {
		if err := ns.addAddress(device, address, unix.IFA_F_NOPREFIXROUTE); err != nil {
			return err
		}
		// The kernel's own route to the network would lack the congestion control.
		routes = append(routes, topologies.Route{Destination: address.Masked()})
	}
	for _, neighbour := range n.Neighbours {
		if err := ns.addNeighbour(device, neighbour); err != nil {
			return err
		}
	}
	for _, route := range append(routes, n.Routes...) {
		if err := ns.addRoute(device, route, b.plan.CongestionControl); err != nil {
			return err
		}
	}
	return nil
}

func (p *namespace) link(name string) (netlink.Link, error) {
	link, err := p.conn.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", name, err)
	}
	return link, nil
}

func (p *namespace) addAddress(device netlink.Link, address netip.Prefix, flags int) error {
	if address.Addr().Is6() {
		flags |= unix.IFA_F_NODAD
	}
	if err := p.conn.AddrAdd(device, &netlink.Addr{IPNet: ipNet(address), Flags: flags}); err != nil {
		return fmt.Errorf("address %v: %w", address, err)
	}
	return nil
}

func (p *namespace) addNeighbour(device netlink.Link, n topologies.Neighbour) error {
	err := p.conn.NeighSet(&netlink.Neigh{
		LinkIndex: device.Attrs().Index, IP: n.Address.AsSlice(), HardwareAddr: net.HardwareAddr(n.MAC), State: netlink.NUD_PERMANENT,
	})
	if err != nil {
		return fmt.Errorf("neighbour %v: %w", n.Address, err)
	}
	return nil
}

// addRoute adds a route with a congestion control for what is sent over it. Without a gateway it is on the device's own link. Without a device
// the kernel finds the one that leads to the gateway.
func (p *namespace) addRoute(device netlink.Link, r topologies.Route, congestionControl string) error {
	route := &netlink.Route{Dst: ipNet(r.Destination), Congctl: congestionControl}
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
	if err := p.conn.RouteReplace(route); err != nil {
		if !hasCongestionControl(congestionControl) {
			return &MissingError{Feature: "the congestion control " + congestionControl, How: "modprobe tcp_" + congestionControl, Err: err}
		}
		return fmt.Errorf("route to %v: %w", r.Destination, err)
	}
	return nil
}

// hasCongestionControl reports whether the kernel has it; a route to one that it lacks is just an invalid argument.
func hasCongestionControl(name string) bool {
	available, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
	return err != nil || name == "" || slices.Contains(strings.Fields(string(available)), name)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
