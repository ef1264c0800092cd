package netns

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// captured is a packet of a capture, as far as the tests ask.
type captured struct {
	device   string
	outbound bool
	protocol string // TCP, UDP, or another
	at       time.Time
}

func readCapture(t *testing.T, file io.Reader) []captured {
	t.Helper()
	r, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
	require.NoError(t, err)
	var all []captured
	for {
		data, info, options, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		device, err := r.Interface(info.InterfaceIndex)
		require.NoError(t, err)
		c := captured{device: device.Name, at: info.Timestamp, outbound: options.Flags.Direction == pcapgo.NgEpbFlagDirectionOutbound}
		packet := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
		if transport := packet.TransportLayer(); transport != nil {
			c.protocol = transport.LayerType().String()
		}
		all = append(all, c)
	}
}

// keep filters packets of a protocol.
func keep(all []captured, protocol string) []captured {
	var kept []captured
	for _, c := range all {
		if c.protocol == protocol {
			kept = append(kept, c)
		}
	}
	return kept
}

func TestCapture(t *testing.T) {
	nw := up(t, talk(t), "test-capture", t.TempDir())
	plan := nw.Plan()
	var file bytes.Buffer
	start := time.Now()
	stop, err := nw.StartCapture(t.Context(), "worker", "eth0", &file)
	require.NoError(t, err)
	dial(t, nw, "client", "tcp-echo", plan.Pods[0].Addresses[0])
	require.NoError(t, stop())
	require.NoError(t, stop(), "twice is once")
	all := keep(readCapture(t, &file), "TCP")
	require.GreaterOrEqual(t, len(all), 4, "SYN, SYN-ACK, ACK, FIN")
	assert.Equal(t, []bool{false, true, false}, []bool{all[0].outbound, all[1].outbound, all[2].outbound})
	for _, c := range all {
		assert.Equal(t, "worker/eth0", c.device)
		assert.WithinRange(t, c.at, start, time.Now())
	}
	_, err = nw.OpenCapture("worker", CaptureOptions{Device: "eth7"})
	assert.ErrorContains(t, err, `capture in worker: no device "eth7" (want one of lo, `)
}

// What came in before the end is written, also when it is read only then, and the kernel has not taken its time yet.
func TestCaptureReadAtItsEnd(t *testing.T) {
	nw := up(t, talk(t), "test-late", t.TempDir())
	c, err := nw.OpenCapture("worker", CaptureOptions{Device: "eth0"})
	require.NoError(t, err)
	defer c.Close()
	dial(t, nw, "client", "tcp-echo", nw.Plan().Pods[0].Addresses[0])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var file bytes.Buffer
	_, err = c.Record(ctx, &file)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(keep(readCapture(t, &file), "TCP")), 4)
}

// All devices of a node: each packet to a pod is there twice, in the order in which it passed them.
func TestCaptureAllDevices(t *testing.T) {
	nw := up(t, talk(t), "test-devices", t.TempDir())
	pod := nw.Plan().Pods[0]
	var file bytes.Buffer
	stop, err := nw.StartCapture(t.Context(), "worker", "", &file)
	require.NoError(t, err)
	dial(t, nw, "client", "tcp-echo", pod.Addresses[0])
	require.NoError(t, stop())
	all := keep(readCapture(t, &file), "TCP")
	require.GreaterOrEqual(t, len(all), 4)
	var ways []string
	for _, c := range all[:4] {
		way := c.device + " in"
		if c.outbound {
			way = c.device + " out"
		}
		ways = append(ways, way)
	}
	host := "worker/" + pod.HostDevice
	assert.Equal(t, []string{"worker/eth0 in", host + " out", host + " in", "worker/eth0 out"}, ways, "SYN, SYN-ACK")
}

// onlyUDP passes UDP over IPv4.
func onlyUDP() []unix.SockFilter {
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 12}, // EtherType
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.ETH_P_IP, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 14 + 9}, // protocol
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_UDP, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: frameLimit},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
}

func TestCaptureFilterAndCount(t *testing.T) {
	nw := up(t, talk(t), "test-filter", t.TempDir())
	address := nw.Plan().Nodes[2].Addresses[0].Addr()
	c, err := nw.OpenCapture("worker", CaptureOptions{Device: "eth0", Filter: onlyUDP(), Count: 3})
	require.NoError(t, err)
	defer c.Close()
	dial(t, nw, "client", "worker", address)
	require.NoError(t, nw.Do("client", func() error {
		conn, err := net.Dial("udp", netip.AddrPortFrom(address, 9).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		for range 5 {
			_, _ = conn.Write([]byte("x")) // refused: nobody listens
		}
		return nil
	}))
	var file bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stats, err := c.Record(ctx, &file)
	require.NoError(t, err)
	assert.Equal(t, CaptureStats{Packets: 3}, stats)
	all := readCapture(t, &file)
	assert.Len(t, all, 3)
	assert.Len(t, keep(all, "UDP"), 3)
}

// A capture ends when it shall, though packets never cease to come.
func TestCaptureEndsUnderLoad(t *testing.T) {
	nw := up(t, talk(t), "test-load", t.TempDir())
	address := nw.Plan().Nodes[2].Addresses[0].Addr()
	stop, err := nw.StartCapture(t.Context(), "client", "eth0", io.Discard)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := make(chan struct{}, 1)
	go func() {
		_ = nw.Do("client", func() error {
			conn, err := net.Dial("udp", netip.AddrPortFrom(address, 9).String())
			if err != nil {
				return err
			}
			defer conn.Close()
			for ctx.Err() == nil {
				_, _ = conn.Write([]byte("x"))
				select {
				case sent <- struct{}{}:
				default:
				}
			}
			return nil
		})
	}()
	<-sent
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		require.Fail(t, "the capture does not end")
	}
}

// When the network goes, so does a capture in it.
func TestCaptureOfLabThatGoes(t *testing.T) {
	dir := t.TempDir()
	nw := up(t, talk(t), "test-goes", dir)
	c, err := nw.OpenCapture("client", CaptureOptions{Device: "eth0"})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, Down(t.Context(), dir, "test-goes", nil))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = c.Record(ctx, io.Discard)
	assert.EqualError(t, err, "capture in client: the device is down, or gone")
}
