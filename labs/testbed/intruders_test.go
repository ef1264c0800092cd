package testbed

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/topologies"
)

// TestForgedGeneve: a pod that sends Geneve to a node would put packets into other pods.
func TestForgedGeneve(t *testing.T) {
	tb, _ := linesStand(t, nil)
	require.NoError(t, tb.Install(t.Context(), dsr))
	for _, n := range tb.ClusterNodes() {
		before := labtest.Count(t, tb, "pod-geneve")
		require.NoError(t, tb.network.Do(tb.plan.Pods[0].Name, func() error {
			conn, err := net.Dial("udp", netip.AddrPortFrom(n.Addresses[0].Addr(), 6081).String())
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.Write(make([]byte, 100))
			return err
		}))
		tb.eventuallyCounts(t, before+1, "pod-geneve")
	}
}

// TestNoAnswerLeaks: a pod answers a client whose flow nobody knows, as after the node's tables were lost.
func TestNoAnswerLeaks(t *testing.T) {
	tb, to := linesStand(t, nil)
	require.NoError(t, tb.Install(t.Context(), dsr))
	c := labtest.Call(t, tb, "client", to)
	acknowledgeAtOnce(t, c) // or the pod sends its answer again while nothing translates it, and the client's kernel resets that
	c.Ask(t)
	require.NoError(t, tb.Install(t.Context(), dsr)) // which forgets all flows
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err := c.Write([]byte{'?'})
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 20))
	assert.NoError(t, err, "the LB node, which did not see it begin, tells the pod node the frontend again")
	assert.Zero(t, labtest.Count(t, tb, "leak"))

	pod := tb.plan.Pods[0]
	client := tb.plan.Nodes[0].Addresses[0].Addr()
	stray := segment(t, netip.AddrPortFrom(pod.Addresses[0], 8080), netip.AddrPortFrom(client, 40000))
	require.NoError(t, tb.network.Do(pod.Name, func() error {
		raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err != nil {
			return err
		}
		defer unix.Close(raw)
		return unix.Sendto(raw, stray, 0, &unix.SockaddrInet4{Addr: client.As4()})
	}))
	tb.eventuallyCounts(t, 1, "leak")
}

// segment is a TCP segment from the middle of a connection.
func segment(t *testing.T, from, to netip.AddrPort) []byte {
	tcp := &layers.TCP{SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()), ACK: true, PSH: true, Seq: 1, Ack: 1, Window: 1000}
	ip := &layers.IPv4{SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(), Protocol: layers.IPProtocolTCP}
	require.NoError(t, tcp.SetNetworkLayerForChecksum(ip))
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	require.NoError(t, gopacket.SerializeLayers(buffer, options, tcp, gopacket.Payload("hello")))
	return buffer.Bytes()
}

// TestBackendSpeaksFirst: a pod sends a datagram from the port that it serves to somebody who never called. It arrives, as all that the
// pod sends.
func TestBackendSpeaksFirst(t *testing.T) {
	tb, _ := linesStand(t, nil)
	require.NoError(t, tb.Install(t.Context(), dsr))
	client := tb.plan.Nodes[0].Addresses[0].Addr()
	var peer, speaker net.PacketConn
	require.NoError(t, tb.network.Do("client", func() (err error) {
		peer, err = net.ListenPacket("udp4", ":40000")
		return err
	}))
	defer peer.Close()
	require.NoError(t, tb.network.Do(tb.plan.Pods[0].Name, func() (err error) {
		speaker, err = net.ListenPacket("udp4", ":8080")
		return err
	}))
	defer speaker.Close()
	_, err := speaker.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(client, 40000)))
	require.NoError(t, err)
	require.NoError(t, peer.SetReadDeadline(time.Now().Add(patience)))
	n, _, err := peer.ReadFrom(make([]byte, 20))
	require.NoError(t, err)
	assert.Equal(t, 5, n)
	assert.Zero(t, labtest.Count(t, tb, "leak"))
}

// TestCollidingFlows: a client uses one port for two frontends that lead to one port of one pod. The second connection is refused
// and counted, the first one goes on.
func TestCollidingFlows(t *testing.T) {
	tb := upWith(t, "talk", func(topology *topologies.Topology) {
		for i := range topology.Spec.Nodes {
			topology.Spec.Nodes[i].Link = topologies.LinkSpec{}
		}
		ports := &topology.Spec.Services[0].Spec.Ports
		*ports = append(*ports, corev1.ServicePort{Name: "second", Port: 5202, TargetPort: intstr.FromString("bulk"), NodePort: 31002})
	})
	labtest.ServeLines(t, tb, tb.plan.Pods, 5201)
	require.NoError(t, tb.Install(t.Context(), dsr))
	dial := func(port uint16, timeout time.Duration) (c labtest.Caller, err error) {
		dialer := net.Dialer{
			Timeout: timeout, LocalAddr: &net.TCPAddr{Port: 45000},
			Control: func(_, _ string, raw syscall.RawConn) error {
				var inner error
				return errors.Join(raw.Control(func(fd uintptr) {
					inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
				}), inner)
			},
		}
		err = tb.network.Do("client", func() error {
			conn, err := dialer.Dial("tcp", netip.AddrPortFrom(echoVIP.Addr(), port).String())
			c = labtest.NewCaller(conn, tb)
			return err
		})
		return c, err
	}
	first, err := dial(5201, patience)
	require.NoError(t, err)
	defer first.Close()
	first.Ask(t)
	_, err = dial(5202, silence)
	require.Error(t, err)
	require.Eventually(t, func() bool { return labtest.Count(t, tb, "collision") > 0 }, patience, 10*time.Millisecond)
	first.Ask(t)
}
