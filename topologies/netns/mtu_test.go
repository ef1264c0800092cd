package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
)

// mtuPlan has a client behind a small MTU and a worker with a pod behind a large one, of one family.
func mtuPlan(t *testing.T, wan, lan, client, worker string) *topologies.Plan {
	t.Helper()
	topology, err := topologies.Parse("mtu.yaml", fmt.Appendf(nil, `apiVersion: dsrlab.dev/v1alpha1
kind: Topology
metadata: {name: mtu}
spec:
  mtu: 1700
  networks:
  - {name: wan, subnets: [%q], mtu: 1400}
  - {name: lan, subnets: [%q]}
  nodes:
  - {name: client, role: client, addresses: [%q]}
  - {name: worker, role: worker, addresses: [%q]}
  pods:
  - {name: pod, node: worker}
`, wan, lan, client, worker))
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	return plan
}

// icmpError is what the kernel tells a socket of an ICMP error (struct sock_extended_err, linux/errqueue.h).
type icmpError struct {
	errno               unix.Errno
	origin, kind, code  uint8
	mtu                 uint32
	router, destination netip.Addr
}

// sendWhole sends a datagram that must not be fragmented, and waits for the error that comes back.
func sendWhole(from, to netip.Addr, size int) (got icmpError, err error) {
	family, level, discover, do, report := unix.AF_INET, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO, unix.IP_RECVERR
	if to.Is6() {
		family, level, discover, do, report = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO, unix.IPV6_RECVERR
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return got, err
	}
	defer unix.Close(fd)
	for option, value := range map[int]int{discover: do, report: 1} {
		if err := unix.SetsockoptInt(fd, level, option, value); err != nil {
			return got, err
		}
	}
	if err := unix.Bind(fd, sockaddr(from, 0)); err != nil {
		return got, err
	}
	if err := unix.Sendto(fd, make([]byte, size), 0, sockaddr(to, 4242)); err != nil {
		return got, fmt.Errorf("send: %w", err)
	}
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd)}}, int((20 * time.Second).Milliseconds())); err != nil {
		return got, fmt.Errorf("wait for an ICMP error: %w", err)
	} else if n == 0 {
		return got, errors.New("no ICMP error came")
	}
	control := make([]byte, 512)
	_, n, _, about, err := unix.Recvmsg(fd, nil, control, unix.MSG_ERRQUEUE)
	if err != nil {
		return got, fmt.Errorf("read error queue: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return got, fmt.Errorf("read error queue: %w", err)
	}
	if len(messages) != 1 {
		return got, fmt.Errorf("read error queue: %d messages, want 1", len(messages))
	}
	e := messages[0].Data
	got = icmpError{
		errno: unix.Errno(binary.NativeEndian.Uint32(e)), origin: e[4], kind: e[5], code: e[6], mtu: binary.NativeEndian.Uint32(e[8:]),
	}
	const offender = 16 // its sockaddr comes after the struct
	switch a := about.(type) {
	case *unix.SockaddrInet4:
		got.destination, got.router = netip.AddrFrom4(a.Addr), netip.AddrFrom4([4]byte(e[offender+4:]))
	case *unix.SockaddrInet6:
		got.destination, got.router = netip.AddrFrom16(a.Addr), netip.AddrFrom16([16]byte(e[offender+8:]))
	}
	return got, nil
}

func sockaddr(a netip.Addr, port int) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4(), Port: port}
	}
	return &unix.SockaddrInet6{Addr: a.As16(), Port: port}
}

// Of a packet that is too large for the network that it is on its way to, the fabric tells the sender, as a router does (RFC
// 1191, RFC 8201).
func TestPathMTU(t *testing.T) {
	for _, test := range []struct {
		name                      string
		wan, lan, client, worker  string
		headers                   int
		origin, icmpType, icmpErr uint8
	}{
		{"IPv4", "192.0.2.0/24", "198.51.100.0/24", "192.0.2.1", "198.51.100.1", 28, unix.SO_EE_ORIGIN_ICMP, 3, 4},
		{"IPv6", "2001:db8:1::/64", "2001:db8:2::/64", "2001:db8:1::10", "2001:db8:2::10", 48, unix.SO_EE_ORIGIN_ICMP6, 2, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := mtuPlan(t, test.wan, test.lan, test.client, test.worker)
			nw := up(t, plan, "test-mtu", t.TempDir())
			client, worker, pod := plan.Nodes[0].Addresses[0].Addr(), plan.Nodes[1].Addresses[0].Addr(), plan.Pods[0].Addresses[0]
			want := icmpError{
				errno: unix.EMSGSIZE, origin: test.origin, kind: test.icmpType, code: test.icmpErr, mtu: 1400,
				router: plan.Networks[1].Gateways[0], destination: client,
			}
			// The pod first: once the worker itself has learned, it is the router that tells its pods (IPv6).
			for _, ns := range []string{"pod", "worker"} {
				from := map[string]netip.Addr{"pod": pod, "worker": worker}[ns]
				require.NoError(t, nw.Do(ns, func() error {
					got, err := sendWhole(from, client, 1700-test.headers)
					assert.Equal(t, want, got, ns)
					if err != nil {
						return err
					}
					// The kernel has learned: what is too large is refused at once, and what is not gets through.
					_, err = sendWhole(from, client, 1401-test.headers)
					assert.ErrorIs(t, err, unix.EMSGSIZE, ns)
					return nil
				}))
				receives(t, nw, ns, from, "client", client, 1400-test.headers)
			}
		})
	}
}

// receives checks that a datagram arrives.
func receives(t *testing.T, nw *Network, fromPlace string, from netip.Addr, toPlace string, to netip.Addr, size int) {
	t.Helper()
	var server net.PacketConn
	require.NoError(t, nw.Do(toPlace, func() (err error) {
		server, err = net.ListenPacket("udp", netip.AddrPortFrom(to, 0).String())
		return err
	}))
	defer server.Close()
	require.NoError(t, nw.Do(fromPlace, func() error {
		local := net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(server.LocalAddr().String())))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write(make([]byte, size))
		return err
	}))
	require.NoError(t, server.SetReadDeadline(time.Now().Add(20*time.Second)))
	n, _, err := server.ReadFrom(make([]byte, 2*size))
	require.NoError(t, err)
	assert.Equal(t, size, n)
}

// Both ends of a wire, the bridge and the pods' wires have the network's MTU.
func TestMTUs(t *testing.T) {
	plan := mtuPlan(t, "192.0.2.0/24", "198.51.100.0/24", "192.0.2.1", "198.51.100.1")
	nw := up(t, plan, "test-mtus", t.TempDir())
	for ns, want := range map[string]map[string]int{
		"client": {"eth0": 1400}, "worker": {"eth0": 1700, "v-pod": 1700}, "pod": {"eth0": 1700},
		"fabric": {"br0": 1400, "p-client": 1400, "br1": 1700, "p-worker": 1700},
	} {
		require.NoError(t, nw.Do(ns, func() error {
			links, err := netlink.LinkList()
			if err != nil {
				return err
			}
			got := map[string]int{}
			for _, l := range links {
				got[l.Attrs().Name] = l.Attrs().MTU
			}
			for name := range want {
				assert.Equal(t, want[name], got[name], "%s of %s", name, ns)
			}
			return nil
		}))
	}
}
