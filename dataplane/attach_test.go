package dataplane

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// inNamespace runs f in a new network namespace with a veth eth0, whose other end is peer0. The thread dies with the
// goroutine, and the namespace with it.
func inNamespace(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		ns, err := netns.New()
		if !assert.NoError(t, err) {
			return
		}
		defer ns.Close()
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer0"}
		if !assert.NoError(t, netlink.LinkAdd(veth)) {
			return
		}
		for _, name := range []string{"eth0", "peer0"} {
			link, err := netlink.LinkByName(name)
			if !assert.NoError(t, err) || !assert.NoError(t, netlink.LinkSetUp(link)) {
				return
			}
		}
		f(t)
	}()
	<-done
}

// mountBPFFS mounts a bpffs for the test alone.
func mountBPFFS(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a bpffs")
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("bpf", dir, "bpf", 0, ""))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, 0)) })
	return dir
}

// inject sends a frame out of peer0, so that it comes in by eth0.
func inject(t *testing.T, frame []byte) {
	t.Helper()
	peer, err := net.InterfaceByName("peer0")
	if !assert.NoError(t, err) {
		return
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if !assert.NoError(t, err) {
		return
	}
	defer unix.Close(fd)
	assert.NoError(t, unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: peer.Index, Halen: 6}))
}

func TestAttachAndReplace(t *testing.T) {
	for _, mode := range []AttachMode{AttachTCX, AttachClsact} {
		t.Run(string(mode), func(t *testing.T) {
			dir := filepath.Join(mountBPFFS(t), "node")
			config := Config{Address: lbNode, Device: "eth0", PinDir: dir, Sizes: smallSizes, Attach: mode}
			inNamespace(t, func(t *testing.T) {
				d, err := Load(config)
				if !assert.NoError(t, err) {
					return
				}
				_, err = d.Apply(world("lb", services.ModeDSR))
				assert.NoError(t, err)
				syn := packetSpec{src: client, dst: vip, sport: 40000, dport: 8080, syn: true}
				inject(t, syn.frame(t))
				waitFor(t, func() bool { return d.counts(t)["to-overlay-dsr"] == 1 })
				d.Close()

				again, err := Load(config)
				if !assert.NoError(t, err, "replaced where it is attached") {
					return
				}
				defer again.Close()
				assert.EqualValues(t, 1, again.counts(t)["to-overlay-dsr"], "counters are kept")
				changes, err := again.Apply(world("lb", services.ModeDSR))
				assert.NoError(t, err)
				assert.Zero(t, changes, "tables are kept")
				ack := packetSpec{src: client, dst: vip, sport: 40000, dport: 8080, ack: true}
				inject(t, ack.frame(t))
				waitFor(t, func() bool { return again.counts(t)["to-overlay-dsr"] == 2 })
				var flow datapathFlow4
				key := datapathFlow4Key{Saddr: addr4(client), Daddr: addr4(vip), Sport: port16(40000), Dport: port16(8080), Protocol: 6}
				assert.NoError(t, again.objects.Flows4.Lookup(key, &flow))
				assert.EqualValues(t, datapathFlowFlagsFLOW_BEGUN_HERE, flow.Flags, "the flow is still known as begun here")

				assert.NoError(t, Unload(dir))
				inject(t, ack.frame(t))
				_, err = os.Stat(dir)
				assert.ErrorIs(t, err, os.ErrNotExist)
				assert.NoError(t, Unload(dir), "twice is once")
			})
		})
	}
}

// waitFor polls a condition.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	assert.Eventually(t, condition, 2*time.Second, time.Millisecond)
}

func TestLoadErrors(t *testing.T) {
	_, err := Load(Config{SNATPorts: [2]uint16{9, 8}, VNI: 1 << 24})
	assert.EqualError(t, err, `load data path: node address invalid IP: must be an IPv4 address
device: must be named
pin folder: must be named
VNI 16777216: must be less than 16777216
SNAT ports 9 to 8: first must not be after last`)
	_, err = Load(Config{Address: lbNode, Device: "nosuch0", PinDir: "/nosuch"})
	assert.ErrorContains(t, err, "device nosuch0")
	_, err = Open(t.TempDir())
	assert.ErrorIs(t, err, ErrNotLoaded)
}

func TestEvents(t *testing.T) {
	d := newNode(t, lbNode, world("lb", services.ModeDSR))
	d.send(t, FromNetwork, packetSpec{src: client, dst: vip, sport: 40000, dport: 8080, syn: true}.frame(t))
	d.send(t, FromNetwork, packetSpec{src: client, dst: vip, sport: 40000, dport: 8080, ack: true}.frame(t))
	d.send(t, FromNetwork, packetSpec{src: client, dst: vip, sport: 40000, dport: 1, syn: true}.frame(t))
	var events []Event
	require.NoError(t, d.Events(context.Background(), false, func(e Event) error {
		events = append(events, e)
		return nil
	}))
	require.Len(t, events, 2, "the segment in the middle is not reported")
	assert.WithinDuration(t, time.Now(), events[0].Time, time.Minute)
	events[0].Time, events[1].Time = time.Time{}, time.Time{}
	assert.Equal(t, Event{
		Point: FromNetwork, Reason: datapathReasonREASON_TO_OVERLAY_DSR, Protocol: "TCP", TCPFlags: 2, Option: true, DSR: true, Bytes: 60,
		Source: addrPortOf(client, 40000), Destination: addrPortOf(vip, 8080), Frontend: addrPortOf(vip, 8080),
		Backend: addrPortOf(pod, 8080), Node: podNode,
	}, events[0])
	assert.Equal(t, "no-frontend", mustNames(t).Reason(events[1].Reason))
	assert.Equal(t, "SYN, ACK", TCPFlags(0x12).String())
}

func TestList(t *testing.T) {
	d := newNode(t, lbNode, world("lb", services.ModeDSR))
	list, err := d.List()
	require.NoError(t, err)
	var lines []string
	for _, l := range list {
		lines = append(lines, l.Address.String()+"/"+l.Protocol+" "+l.Kind+" "+l.Mode)
		for _, b := range l.Backends {
			assert.Equal(t, 251, b.Slots)
			lines = append(lines, "  "+b.Address.String()+" at "+b.Node.String())
		}
	}
	assert.Equal(t, []string{
		"185.150.8.128:6060/TCP LoadBalancer dsr",
		"185.150.8.128:7070/TCP LoadBalancer dsr", "  10.0.0.2:7070 at 192.168.1.11",
		"185.150.8.128:8080/TCP LoadBalancer dsr", "  10.0.1.2:8080 at 192.168.1.13",
		"185.150.8.128:8080/UDP LoadBalancer dsr", "  10.0.1.2:8080 at 192.168.1.13",
		"185.150.8.128:9090/TCP LoadBalancer dsr", "  10.0.1.2:90 at 192.168.1.13",
		"192.168.1.11:31000/TCP NodePort dsr", "  10.0.1.2:8080 at 192.168.1.13",
	}, lines)
}

// TestPortExhaustion: with a single port the second client is refused, with a reason.
func TestPortExhaustion(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: loads BPF programs")
	}
	config, err := Config{Address: lbNode, Device: "lo", PinDir: "-", Sizes: smallSizes, SNATPorts: [2]uint16{40000, 40000}}.withDefaults()
	require.NoError(t, err)
	spec, err := specOf(config, &net.Interface{Index: 1, HardwareAddr: nodeMAC})
	require.NoError(t, err)
	d := &DataPath{}
	require.NoError(t, spec.LoadAndAssign(&d.objects, &ebpf.CollectionOptions{}))
	defer d.Close()
	_, err = d.Apply(world("lb", services.ModeSNAT))
	require.NoError(t, err)
	first := packetSpec{src: client, dst: vip, sport: 1000, dport: 8080, syn: true}
	second := packetSpec{src: client, dst: vip, sport: 1001, dport: 8080, syn: true}
	_, _, reasons := d.send(t, FromNetwork, first.frame(t))
	assert.Equal(t, map[string]uint64{"to-overlay-snat": 1}, reasons)
	action, _, reasons := d.send(t, FromNetwork, second.frame(t))
	assert.EqualValues(t, actShot, action)
	assert.Equal(t, map[string]uint64{"no-port": 1}, reasons)
}
