package testbed

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/workload"
)

// AddressOf is the address of a node or pod, of the family that is wanted.
func (tb *Testbed) AddressOf(place string, ipv4 bool) (netip.Addr, error) {
	var all []netip.Addr
	if n := tb.plan.Node(place); n != nil {
		all = n.Addrs()
	}
	if p := tb.plan.Pod(place); p != nil {
		all = p.Addresses
	}
	for _, a := range all {
		if a.Is4() == ipv4 {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("unknown node or pod %q of %s with an address of the frontend's family", place, tb.network.Name())
}

// Frontend reads ADDRESS:PORT, or SERVICE:PORT with the port's name or number.
func (tb *Testbed) Frontend(text string, protocol workload.Protocol) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a, nil
	}
	service, port, _ := strings.Cut(text, ":")
	tables, err := tb.Tables(Variant{})
	if err != nil {
		return netip.AddrPort{}, err
	}
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		if f.Kind == services.KindLoadBalancer && f.Service == "default/"+service && strings.EqualFold(f.Protocol.String(), string(protocol)) &&
			(port == f.PortName || port == strconv.Itoa(int(f.Port))) {
			return f.AddrPort(), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("frontend %q: want ADDRESS:PORT, or SERVICE:PORT of a LoadBalancer with that %s port", text, protocol)
}
