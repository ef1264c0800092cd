package testbed

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// ourVariants are our own data path in both modes, at both hooks.
func ourVariants() []Variant {
	var all []Variant
	for _, mode := range []services.Mode{services.ModeDSR, services.ModeSNAT} {
		for _, hook := range []dataplane.Hook{dataplane.HookTC, dataplane.HookXDP} {
			all = append(all, Variant{Name: string(mode) + "-" + string(hook), DataPath: DataPathDSRLab, Mode: mode, Hook: hook})
		}
	}
	return all
}

// serving builds the topology without shaped links, with the pods' workload served by the test itself.
func serving(t *testing.T, name string, change func(*topologies.Topology)) *Testbed {
	t.Helper()
	plan, pods := labtest.Plan(t, name, change)
	tb := upPlan(t, name, Options{}, plan)
	labtest.Serve(t, tb, pods)
	return tb
}

var echoVIP = netip.MustParseAddrPort("185.150.8.128:8080")

// narrow gives the client's wire, and with it the fabric's way to it, a smaller MTU.
func narrow(t *testing.T, tb *Testbed, mtu int) {
	t.Helper()
	client := tb.plan.Nodes[slices.IndexFunc(tb.plan.Nodes, func(n topologies.Node) bool { return n.Name == "client" })]
	require.NoError(t, tb.network.Do(netns.Fabric, func() error {
		port, err := netlink.LinkByName(client.Port)
		if err != nil {
			return err
		}
		bridge, err := netlink.LinkByIndex(port.Attrs().MasterIndex)
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetMTU(port, mtu), netlink.LinkSetMTU(bridge, mtu))
	}))
}

// TestPathMTU: a large answer meets a link with a smaller MTU between router and client, which says so to the frontend. The pod
// has to hear it, or the transfer never ends. There is one LB node: with several the router may tell another one than the flow's,
// which only DSR can cope with (see TestPathMTUOfAnotherNode).
func TestPathMTU(t *testing.T) {
	for _, v := range ourVariants() {
		t.Run(v.Name, func(t *testing.T) {
			tb := serving(t, "five-nodes", lbNodes(1)) // a new one for each: kernels remember the MTU of a path
			narrow(t, tb, 1300)
			require.NoError(t, tb.Install(t.Context(), v))
			report, err := workload.Bulk(t.Context(), workload.BulkOptions{
				Dialer: workload.Dialer{Enter: tb.Enter("client")}, Target: netip.AddrPortFrom(echoVIP.Addr(), 5201),
				Direction: workload.Download, Bytes: 3_000_000, Duration: 3 * patience,
			})
			require.NoError(t, err)
			assert.EqualValues(t, 3_000_000, report.Download.Bytes)
			assert.Positive(t, labtest.Count(t, tb, "icmp-relayed"))
		})
	}
}

// lbNodes is how many LB nodes the topology has.
func lbNodes(n int) func(*topologies.Topology) {
	return func(topology *topologies.Topology) {
		for i := range topology.Spec.Nodes {
			if topology.Spec.Nodes[i].Role == topologies.RoleLB {
				topology.Spec.Nodes[i].Replicas = n
			}
		}
	}
}

// TestPathMTUOfAnotherNode: the router's error comes to an LB node that never saw the flow. Under DSR that node selects the same
// backend as the one that did.
func TestPathMTUOfAnotherNode(t *testing.T) {
	tb := serving(t, "five-nodes", nil)
	narrow(t, tb, 1300)
	require.NoError(t, tb.Install(t.Context(), Variant{Name: "dsr", DataPath: DataPathDSRLab, Mode: services.ModeDSR}))
	for range 8 {
		report, err := workload.Bulk(t.Context(), workload.BulkOptions{
			Dialer: workload.Dialer{Enter: tb.Enter("client")}, Target: netip.AddrPortFrom(echoVIP.Addr(), 5201),
			Direction: workload.Download, Bytes: 1_000_000, Duration: 3 * patience,
		})
		require.NoError(t, err)
		assert.EqualValues(t, 1_000_000, report.Download.Bytes)
	}
	assert.Zero(t, labtest.Count(t, tb, "icmp-no-flow"))
}

// TestTooBig: a request that does not fit the tunnel and may not be cut: the client's kernel learns the path's MTU from the
// frontend itself.
func TestTooBig(t *testing.T) {
	for _, v := range ourVariants() {
		t.Run(v.Name, func(t *testing.T) {
			tb := serving(t, "five-nodes", nil)
			require.NoError(t, tb.Install(t.Context(), v))
			var mtu int
			require.NoError(t, tb.network.Do("client", func() error {
				fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
				if err != nil {
					return err
				}
				defer unix.Close(fd)
				if err := errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO),
					unix.Connect(fd, &unix.SockaddrInet4{Port: int(echoVIP.Port()), Addr: echoVIP.Addr().As4()})); err != nil {
					return err
				}
				if _, err := unix.Write(fd, make([]byte, 1472)); err != nil {
					return err
				}
				for until := time.Now().Add(patience); time.Now().Before(until); { // until the error has come back
					if mtu, err = unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU); err != nil || mtu < 1500 {
						return err
					}
					time.Sleep(5 * time.Millisecond)
				}
				return nil
			}))
			assert.Equal(t, 1438, mtu)
			assert.Positive(t, labtest.Count(t, tb, "too-big"))
		})
	}
}

// toOwnServers leads the service's UDP port to port 7777 of the pods.
func toOwnServers(topology *topologies.Topology) {
	ports := &topology.Spec.Services[0].Spec.Ports
	*ports = slices.Clone(*ports)
	for i := range *ports {
		if (*ports)[i].Name == "udp" {
			(*ports)[i].TargetPort.StrVal, (*ports)[i].TargetPort.IntVal, (*ports)[i].TargetPort.Type = "", 7777, 0
		}
	}
}

// datagramStand is five-nodes with pods that send large datagrams back.
func datagramStand(t *testing.T) *Testbed {
	tb := serving(t, "five-nodes", toOwnServers)
	for _, p := range tb.plan.Pods {
		echoDatagrams(t, tb, p.Name, 7777)
	}
	return tb
}

// TestLargeDatagrams: 16 kB there and back, in fragments both ways.
func TestLargeDatagrams(t *testing.T) {
	tb := datagramStand(t)
	for _, v := range ourVariants() {
		t.Run(v.Name, func(t *testing.T) {
			require.NoError(t, tb.Install(t.Context(), v))
			var client net.Conn
			require.NoError(t, tb.network.Do("client", func() (err error) {
				client, err = net.Dial("udp", echoVIP.String())
				return err
			}))
			defer client.Close()
			datagram := make([]byte, 16000)
			for i := range datagram {
				datagram[i] = byte(i * 31)
			}
			answer := make([]byte, 20000)
			for range 5 {
				_, err := client.Write(datagram)
				require.NoError(t, err)
				require.NoError(t, client.SetReadDeadline(time.Now().Add(patience)))
				n, err := client.Read(answer)
				require.NoError(t, err)
				assert.True(t, bytes.Equal(datagram, answer[:n]))
			}
		})
	}
}

// TestNodeCallsItsNodePort: a process of a node calls a NodePort at its own node's address, by lo, whose packets are larger than
// what pods take: transfers over TCP both ways, and datagrams that have to become fragments.
func TestNodeCallsItsNodePort(t *testing.T) {
	tb := datagramStand(t)
	for i, v := range ourVariants() {
		require.NoError(t, tb.Install(t.Context(), v))
		for _, name := range []string{"lb-1", "worker-1"} { // without pods, and with some
			t.Run(v.Name+" "+name, func(t *testing.T) {
				node := tb.nodeOf(t, name).Addresses[0].Addr()
				for _, direction := range []workload.Direction{workload.Download, workload.Upload} {
					report, err := workload.Bulk(t.Context(), workload.BulkOptions{
						Dialer: workload.Dialer{Enter: tb.Enter(name)}, Target: netip.AddrPortFrom(node, 31001),
						Direction: direction, Bytes: 20_000_000, Streams: 8, Duration: 3 * patience,
					})
					require.NoError(t, err)
					half := report.Download
					if direction == workload.Upload {
						half = report.Upload
					}
					assert.EqualValues(t, 20_000_000, half.Bytes, direction)
				}
				to := netip.AddrPortFrom(node, 31000)
				if i == 0 { // the kernel learns what fits; a socket keeps the route that it has
					assert.ErrorIs(t, tb.echo(t, name, to, 16000), syscall.EMSGSIZE)
				}
				for range 8 { // so that pods of this node and of others answer
					assert.NoError(t, tb.echo(t, name, to, 16000))
				}
			})
		}
	}
}

// TestClosedPort: nobody listens in the pods. Their ICMP errors reach who called a frontend, a client or the node itself, as errors of
// that frontend.
func TestClosedPort(t *testing.T) {
	tb := serving(t, "five-nodes", toOwnServers)
	for _, v := range ourVariants() {
		t.Run(v.Name, func(t *testing.T) {
			require.NoError(t, tb.Install(t.Context(), v))
			for from, to := range map[string]netip.AddrPort{
				"client":   echoVIP,
				"lb-1":     netip.AddrPortFrom(tb.nodeOf(t, "lb-1").Addresses[0].Addr(), 31000),
				"worker-1": netip.AddrPortFrom(tb.nodeOf(t, "worker-1").Addresses[0].Addr(), 31000),
			} {
				assert.ErrorIs(t, tb.echo(t, from, to, 100), syscall.ECONNREFUSED, from)
			}
			assert.EqualValues(t, 3, labtest.Count(t, tb, "icmp-relayed"))
		})
	}
}

// echo sends a datagram of so many bytes from a new socket, and checks what comes back.
func (tb *Testbed) echo(t *testing.T, from string, to netip.AddrPort, size int) error {
	t.Helper()
	conn, err := tb.Dialer(from).Dial(t.Context(), "udp", to, nil)
	require.NoError(t, err)
	defer conn.Close()
	datagram, answer := bytes.Repeat([]byte("0123456789"), size/10+1)[:size], make([]byte, 20000)
	_, err = conn.Write(datagram)
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	n, err := conn.Read(answer)
	if err == nil {
		assert.Equal(t, datagram, answer[:n])
	}
	return err
}

// echoDatagrams sends back what comes to a pod.
func echoDatagrams(t *testing.T, tb *Testbed, pod string, port int) {
	t.Helper()
	var conn net.PacketConn
	require.NoError(t, tb.network.Do(pod, func() (err error) {
		conn, err = net.ListenPacket("udp4", (&net.UDPAddr{Port: port}).String())
		return err
	}))
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 20000)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(buffer[:n], from)
		}
	}()
}

// TestRefused: a service without endpoints refuses at once, instead of letting the client wait, be it outside or the node itself.
func TestRefused(t *testing.T) {
	tb := serving(t, "five-nodes", nil)
	tb.plan.EndpointSlices = nil
	for _, v := range ourVariants() {
		t.Run(v.Name, func(t *testing.T) {
			require.NoError(t, tb.Install(t.Context(), v))
			refuses := func(from string, to netip.AddrPort) {
				err := tb.network.Do(from, func() error {
					conn, err := net.DialTimeout("tcp", to.String(), patience)
					if err == nil {
						conn.Close()
					}
					return err
				})
				assert.ErrorIs(t, err, syscall.ECONNREFUSED, from)
			}
			refuses("client", echoVIP)
			assert.EqualValues(t, 1, labtest.Count(t, tb, "no-backend"))
			refuses("lb-1", netip.AddrPortFrom(tb.LBNodes()[0].Addresses[0].Addr(), 31000)) // its own NodePort, by lo
			assert.EqualValues(t, 2, labtest.Count(t, tb, "no-backend"))
		})
	}
}

func (tb *Testbed) nodeOf(t *testing.T, name string) topologies.Node {
	t.Helper()
	i := slices.IndexFunc(tb.ClusterNodes(), func(n topologies.Node) bool { return n.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return tb.ClusterNodes()[i]
}
