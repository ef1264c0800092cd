package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/internal/capability"
	"github.com/dsrlab/dsrlab/labs/assess/prober"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// Here is the machine that is the client.
type Here struct {
	// AddressTo is the machine's own address that packets to another one have, with the length of its network.
	AddressTo func(to netip.Addr) (netip.Prefix, error)
	// Open opens the machine's station.
	Open func(onSighting func(probe.Sighting)) (prober.Station, error)
}

// ThisMachine is the one that this process runs on, in its network namespace. A process that may not probe gets a *LackingError.
func ThisMachine() (Here, error) {
	if lacking := capability.Lacking(capability.NetRaw); len(lacking) > 0 {
		return Here{}, &LackingError{What: "this machine is the client, and sends packets of its own making",
			How: "it needs root, or " + capability.Without(lacking)}
	}
	return Here{AddressTo: addressTo, Open: func(see func(probe.Sighting)) (prober.Station, error) {
		a, err := probe.Open(nil, see)
		if err != nil { // else the interface would not be nil
			return nil, err
		}
		return a, nil
	}}, nil
}

// addressTo asks the kernel which of its addresses packets to another have.
func addressTo(to netip.Addr) (netip.Prefix, error) {
	// Connecting a datagram socket sends nothing.
	conn, err := new(net.Dialer).DialContext(context.Background(), "udp", netip.AddrPortFrom(to, probe.ControlPort).String())
	if err != nil {
		return netip.Prefix{}, err
	}
	defer conn.Close()
	own := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
	all, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == own {
			return p, nil
		}
	}
	return netip.PrefixFrom(own, own.BitLen()), nil
}

// addresses are this machine's towards the nodes, at most one of each IP version, the first that leads to one.
func (h *Here) addresses(nodes []corev1.Node) ([]netip.Prefix, error) {
	var all []netip.Prefix
	var errs []error
	for _, six := range []bool{false, true} {
		for i := range nodes {
			to := addressOf(&nodes[i], corev1.NodeInternalIP, six)
			if !to.IsValid() {
				continue
			}
			own, err := h.AddressTo(to)
			if err == nil {
				all = append(all, own)
				break
			}
			errs = append(errs, fmt.Errorf("%s: %w", nodes[i].Name, err))
		}
	}
	if len(all) == 0 {
		return nil, errors.Join(errs...)
	}
	return all, nil
}

// check refuses a machine that is no client of the cluster: one that no route leads to the nodes from, or that is a node. Nodes are those
// that are probed, of all that there are.
func (h *Here) check(nodes, all []corev1.Node) error {
	if own, err := h.addresses(nodes); len(own) == 0 {
		return &LackingError{What: "this machine is the client, and has no route to any node", Err: err,
			How: "run it where the nodes' addresses can be reached: " + nodeAddresses(nodes)}
	}
	for i := range all {
		for _, a := range all[i].Status.Addresses {
			to, err := netip.ParseAddr(a.Address)
			if err != nil || a.Type != corev1.NodeInternalIP {
				continue
			}
			// Packets to an address of its own have that address as their source.
			if own, err := h.AddressTo(to.Unmap()); err == nil && own.Addr() == to.Unmap() {
				return &LackingError{What: fmt.Sprintf("this machine is node %s, and so can't be the client", all[i].Name), How: "run it on a machine outside of the cluster"}
			}
		}
	}
	return nil
}

// addressOf is a node's address of a type and IP version; not valid if it has none.
func addressOf(n *corev1.Node, kind corev1.NodeAddressType, six bool) netip.Addr {
	for _, a := range n.Status.Addresses {
		if one, err := netip.ParseAddr(a.Address); err == nil && a.Type == kind && one.Unmap().Is6() == six {
			return one.Unmap()
		}
	}
	return netip.Addr{}
}

// nodeAddresses lists the nodes' addresses, or some of them.
func nodeAddresses(nodes []corev1.Node) string {
	const most = 3
	var all []string
	for i := range nodes {
		for _, six := range []bool{false, true} {
			if a := addressOf(&nodes[i], corev1.NodeInternalIP, six); a.IsValid() && len(all) < most {
				all = append(all, a.String())
			}
		}
	}
	return strings.Join(all, ", ")
}
