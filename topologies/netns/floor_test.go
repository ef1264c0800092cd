package netns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

// BenchmarkUp compares Up with the same objects made over plain netlink, in turns: either begins as often as the other, for the
// kernel still frees what the one before has left. of-floor is the ratio of the times.
func BenchmarkUp(b *testing.B) {
	for _, n := range []int{5, 50, 200} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			requireRoot(b)
			plan, dir := wide(b, n), b.TempDir()
			var took [2]time.Duration
			build := [2]func() time.Duration{
				func() time.Duration { return timeUp(b, plan, dir) },
				func() time.Duration { return timeFloor(b, plan) },
			}
			turns := 0
			for b.Loop() {
				turns++
				first := turns % 2
				took[first] += build[first]()
				took[1-first] += build[1-first]()
			}
			b.ReportMetric(took[0].Seconds()*1e3/float64(turns), "ms/up")
			b.ReportMetric(took[1].Seconds()*1e3/float64(turns), "ms/floor")
			b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "of-floor")
		})
	}
}

func timeUp(b *testing.B, plan *topologies.Plan, dir string) time.Duration {
	b.Helper()
	start := time.Now()
	_, err := Up(b.Context(), plan, Options{StateDir: dir, Name: "bench"})
	took := time.Since(start)
	require.NoError(b, err)
	require.NoError(b, Down(context.Background(), dir, "bench", nil))
	return took
}

func timeFloor(b *testing.B, plan *topologies.Plan) (took time.Duration) {
	b.Helper()
	require.NoError(b, onThread(func(func()) error {
		f := &floor{plan: plan, made: make(map[string]*floorPlace)}
		defer f.close()
		start := time.Now()
		err := f.build()
		took = time.Since(start)
		return err
	}))
	return took
}

// floor builds a plan's nodes with nothing around: one thread, a netlink socket for each namespace, no names, no marks, no
// journal, no setting but forwarding, nothing read back.
type floor struct {
	plan *topologies.Plan
	made map[string]*floorPlace
}

type floorPlace struct {
	ns     netns.NsHandle
	handle *netlink.Handle
}

func (f *floor) close() {
	if f.made[Fabric] != nil {
		_ = netns.Set(f.made[Fabric].ns)
		if conn, err := rtnl.Dial(); err == nil {
			_ = conn.RemoveGroup(linkGroup)
			conn.Close()
		}
	}
	for _, p := range f.made {
		p.handle.Close()
		p.ns.Close()
	}
}

func (f *floor) place(name string, forwards bool) error {
	ns, err := netns.New()
	if err != nil {
		return err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	f.made[name] = &floorPlace{ns: ns, handle: h}
	if forwards {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
			return err
		}
	}
	return h.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: loopback}})
}

func (f *floor) build() error {
	for _, n := range f.plan.Nodes {
		if err := f.place(n.Name, n.Role.Forwards()); err != nil {
			return err
		}
	}
	if err := f.place(Fabric, true); err != nil {
		return err
	}
	fabric, network := f.made[Fabric].handle, f.plan.Networks[0]
	bridge := &netlink.Bridge{LinkAttrs: f.attrs("br0", network.MAC)}
	if err := fabric.LinkAdd(bridge); err != nil {
		return err
	}
	if err := addressTo(fabric, bridge, netip.PrefixFrom(network.Gateways[0], network.Subnets[0].Bits())); err != nil {
		return err
	}
	for i := range f.plan.Nodes {
		n := &f.plan.Nodes[i]
		if err := f.wire(fabric, bridge, n); err != nil {
			return fmt.Errorf("wire of %s: %w", n.Name, err)
		}
		if err := f.node(n); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	if err := fabric.LinkSetUp(bridge); err != nil {
		return err
	}
	return routesTo(fabric, 0, f.plan.FabricRoutes, "")
}

func (f *floor) attrs(name string, mac topologies.HardwareAddr) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name, a.MTU, a.HardwareAddr, a.Group = name, f.plan.MTU, net.HardwareAddr(mac), linkGroup
	return a
}

// wire makes a node's link, and shapes it in both directions.
func (f *floor) wire(fabric *netlink.Handle, bridge netlink.Link, n *topologies.Node) error {
	veth := &netlink.Veth{
		LinkAttrs: f.attrs(n.Port, nil), PeerName: nodeDevice, PeerHardwareAddr: net.HardwareAddr(n.MAC),
		PeerNamespace: netlink.NsFd(f.made[n.Name].ns),
	}
	veth.MasterIndex = bridge.Attrs().Index
	if err := fabric.LinkAdd(veth); err != nil {
		return err
	}
	if err := fabric.LinkSetUp(veth); err != nil {
		return err
	}
	if err := neighbourTo(fabric, bridge.Attrs().Index, topologies.Neighbour{Address: n.Addresses[0].Addr(), MAC: n.MAC}); err != nil {
		return err
	}
	ifb := &netlink.Ifb{LinkAttrs: f.attrs("i"+n.Port[1:], nil)}
	if err := fabric.LinkAdd(ifb); err != nil {
		return err
	}
	if err := fabric.LinkSetUp(ifb); err != nil {
		return err
	}
	if err := bucketTo(fabric, veth, n.ToNode); err != nil {
		return err
	}
	if err := bucketTo(fabric, ifb, n.FromNode); err != nil {
		return err
	}
	err := fabric.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: veth.Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
	if err != nil {
		return err
	}
	return fabric.FilterAdd(&netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: veth.Index, Parent: netlink.HANDLE_MIN_INGRESS, Priority: 1, Protocol: unix.ETH_P_ALL},
		Actions:     []netlink.Action{netlink.NewMirredAction(ifb.Index)},
	})
}

// node configures a node's own end.
func (f *floor) node(n *topologies.Node) error {
	h := f.made[n.Name].handle
	device, err := h.LinkByName(nodeDevice)
	if err != nil {
		return err
	}
	if err := h.LinkSetUp(device); err != nil {
		return err
	}
	if err := addressTo(h, device, n.Addresses[0]); err != nil {
		return err
	}
	for _, neighbour := range n.Neighbours {
		if err := neighbourTo(h, device.Attrs().Index, neighbour); err != nil {
			return err
		}
	}
	return routesTo(h, device.Attrs().Index, append([]topologies.Route{{Destination: n.Addresses[0].Masked()}}, n.Routes...), f.plan.CongestionControl)
}

func addressTo(h *netlink.Handle, link netlink.Link, address netip.Prefix) error {
	return h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(address)})
}

func neighbourTo(h *netlink.Handle, index int, n topologies.Neighbour) error {
	return h.NeighSet(&netlink.Neigh{
		LinkIndex: index, IP: n.Address.AsSlice(), HardwareAddr: net.HardwareAddr(n.MAC), State: netlink.NUD_PERMANENT,
	})
}

func bucketTo(h *netlink.Handle, link netlink.Link, s topologies.Shape) error {
	rate := uint64(s.Rate) / 8
	return h.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       rate, Limit: uint32(s.Queue), Buffer: netlink.Xmittime(rate, uint32(s.Burst)),
	})
}

func routesTo(h *netlink.Handle, index int, routes []topologies.Route, congestionControl string) error {
	for _, r := range routes {
		route := &netlink.Route{Dst: ipNet(r.Destination), LinkIndex: index, Congctl: congestionControl}
		if len(r.Via) == 0 {
			route.Scope = netlink.SCOPE_LINK
		}
		if len(r.Via) == 1 {
			route.Gw = r.Via[0].AsSlice()
		}
		for _, via := range r.Via {
			if len(r.Via) > 1 {
				route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{LinkIndex: index, Gw: via.AsSlice()})
			}
		}
		if err := h.RouteReplace(route); err != nil {
			return fmt.Errorf("route to %v: %w", r.Destination, err)
		}
	}
	return nil
}
