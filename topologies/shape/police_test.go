package shape

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

func TestSetAndReadPoliced(t *testing.T) {
	w := newWire(t)
	for _, c := range []struct {
		name             string
		toNode, fromNode topologies.Shape
	}{
		{"each on its own", policed(1e9, 62_500, 24), policed(100e6, 3_100, 38)},
		{"changed", policed(1e3, 1_600, 0), policed(400e9, 1<<30, 256)},
		{"one direction shaped", policed(100e6, 3_100, 24), spec(100e6, 10_000, 3_200, 24)},
		{"the other", spec(100e6, 10_000, 3_200, 24), policed(100e6, 3_100, 24)},
		{"one direction not limited", topologies.Shape{}, policed(100e6, 3_100, 24)},
		{"none", topologies.Shape{}, topologies.Shape{}},
		{"again", policed(1e9, 62_500, 24), policed(1e9, 62_500, 24)},
	} {
		require.NoError(t, w.Set(c.toNode, c.fromNode), c.name)
		toNode, fromNode, err := w.Read()
		require.NoError(t, err)
		assertShape(t, c.toNode, toNode.Shape)
		assertShape(t, c.fromNode, fromNode.Shape)
		ifb, err := w.ifb()
		require.NoError(t, err)
		assert.Equal(t, c.fromNode.Limit == topologies.LimitShape, ifb != nil, "%s: the device to queue in", c.name)
		programs, err := Programs(w.Conn)
		require.NoError(t, err)
		policers := 0
		for _, s := range []topologies.Shape{c.toNode, c.fromNode} {
			if s.Limit == topologies.LimitPolice {
				policers++
			}
		}
		assert.Len(t, programs, policers, c.name)
	}
	unknown := topologies.Shape{Rate: 1e6, Limit: "drop"}
	assert.EqualError(t, w.Set(unknown, topologies.Shape{}), `limit p-test: unknown limit "drop" (want shape or police)`)
	assert.EqualError(t, w.Set(policed(1e6, 0, 0), topologies.Shape{}), "limit p-test towards the node: rate of 1000000 bit/s and "+
		"burst of 0 bytes: use a rate above 0 and a burst of 1 to 1073741824")
}

// sender is a socket that sends over the wire.
func (w *testWire) sender(t *testing.T, towards bool) net.Conn {
	if towards {
		return w.toNode(t)
	}
	return w.fromNode(t)
}

// wireBytes is what frames cost on the wire.
func wireBytes(s Stats) float64 {
	return float64(s.Bytes) + float64(s.Packets)*float64(*s.Shape.Overhead)
}

// droppedBytes is what those that were dropped would have cost.
func droppedBytes(s Stats) float64 {
	return float64(s.DroppedBytes) + float64(s.Drops)*float64(*s.Shape.Overhead)
}

// A burst passes as far as the bucket goes, and nothing waits. A change of rate and burst leaves the counters as they are, and whoever
// looks at the wire sees them.
func TestPolicedBurst(t *testing.T) {
	const packets, payload, frame, overhead, room = 200, 958, 1000, 24, 10
	bothWays(t, func(t *testing.T, w *testWire, towards bool) {
		conn := w.sender(t, towards)
		slow := policed(1e3, room*(frame+overhead), overhead)
		require.NoError(t, w.Set(slow, slow))
		w.send(t, conn, packets, payload)
		stats := w.read(t, towards)
		assert.InDelta(t, room, stats.Packets, 4, "beside small ones of ICMP and MLD")
		assert.LessOrEqual(t, wireBytes(stats), float64(slow.Burst)+1e3/8*time.Minute.Seconds())
		assert.GreaterOrEqual(t, stats.Packets+stats.Drops, uint64(packets))
		assert.GreaterOrEqual(t, stats.DroppedBytes, uint64((packets-room)*frame))
		assert.Equal(t, stats.Drops, stats.Overlimits)
		assert.Zero(t, stats.Backlog)

		larger := policed(2e3, 5*slow.Burst, overhead)
		require.NoError(t, w.Set(larger, larger))
		other, err := rtnl.Dial()
		require.NoError(t, err)
		defer other.Close()
		toNode, fromNode, err := Wire{Conn: other, Port: &netlink.Device{LinkAttrs: *w.Port.Attrs()}}.Read()
		require.NoError(t, err)
		after := fromNode
		if towards {
			after = toNode
		}
		assert.Equal(t, larger, after.Shape)
		assert.GreaterOrEqual(t, after.Packets, stats.Packets)
		assert.GreaterOrEqual(t, after.Drops, stats.Drops)
		w.send(t, conn, room, payload)
		assert.GreaterOrEqual(t, w.read(t, towards).Drops, after.Drops+room-1, "a larger burst is no full bucket")
	})
}

// offer sends frames as fast as it can for some time. It returns how long it took, and the time that was lost to a bucket because it
// would have been full meanwhile.
func (w *testWire) offer(t *testing.T, conn net.Conn, payload int, duration, fill time.Duration) (took, lost time.Duration) {
	t.Helper()
	block := make([]byte, payload)
	begin := time.Now()
	for last := begin; took < duration; {
		_, _ = conn.Write(block) // an answer that nobody listens is no failure
		at := time.Now()
		lost += max(0, at.Sub(last)-fill)
		last, took = at, at.Sub(begin)
	}
	return took, lost
}

// Over time what passes is the rate: never more than that and one burst, and not much less if that much was offered. Small frames show that
// each one's overhead is counted.
func TestPolicedRate(t *testing.T) {
	const rate, overhead, burst = 20e6, 24, 250_000
	fill := time.Duration(burst * 8 / rate * float64(time.Second))
	for name, payload := range map[string]int{"small": 22, "large": 1458} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, w *testWire, towards bool) {
				conn := w.sender(t, towards)
				s := policed(rate, burst, overhead)
				begin := time.Now()
				require.NoError(t, w.Set(s, s))
				took, lost := w.offer(t, conn, payload, 300*time.Millisecond, fill)
				stats := w.read(t, towards)
				assert.LessOrEqual(t, wireBytes(stats), burst+rate/8*time.Since(begin).Seconds())
				offered, could := wireBytes(stats)+droppedBytes(stats), rate/8*(took-lost).Seconds()
				if offered < 2*(could+burst) {
					t.Logf("offered %.1f Mbit/s of %.1f, %v lost: too little to say what the rate should have let pass",
						offered*8/took.Seconds()/1e6, 2*rate/1e6, lost)
					return
				}
				assert.GreaterOrEqual(t, wireBytes(stats), 0.9*could)
			})
		})
	}
}

// listen counts the bytes of payload that arrive.
func (w *testWire) listen(t *testing.T, towards bool) *atomic.Int64 {
	t.Helper()
	var conn net.PacketConn
	open := func(address string) func() error {
		return func() (err error) {
			conn, err = net.ListenPacket("udp4", address+":9")
			return err
		}
	}
	if towards {
		require.NoError(t, w.inNode(open(nodeAddress)))
	} else {
		require.NoError(t, open(fabricAddress)())
	}
	t.Cleanup(func() { conn.Close() })
	arrived := &atomic.Int64{}
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, _, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			arrived.Add(int64(n))
		}
	}()
	return arrived
}

// While the limit changes, no frame passes without one: what arrives is at most what the rate lets through, and for each new bucket its
// burst and its queue.
func TestSwitchUnderTraffic(t *testing.T) {
	const rate, changes, payload = 4e6, 30, 958
	bothWays(t, func(t *testing.T, w *testWire, towards bool) {
		arrived := w.listen(t, towards)
		shaped, police := spec(rate, 4_000, 3_200, 24), policed(rate, 3_100, 24)
		conn := w.sender(t, towards)
		begin := time.Now()
		require.NoError(t, w.Set(shaped, shaped))
		done, ended := make(chan struct{}), make(chan int)
		go func() {
			sent := 0
			for block := make([]byte, payload); ; sent++ {
				select {
				case <-done:
					ended <- sent
					return
				default:
					_, _ = conn.Write(block)
				}
			}
		}()
		for change := range changes {
			s := shaped
			if change%3 != 2 {
				s = police
				s.Burst += topologies.Size(change) // every second change leaves it a policer
			}
			require.NoError(t, w.Set(s, s))
			time.Sleep(3 * time.Millisecond) // of traffic with this limit
		}
		close(done)
		sent := <-ended
		most := rate/8*time.Since(begin).Seconds() + (changes+1)*(3_200+4_000)
		t.Logf("sent %d, arrived %d, at most %.0f bytes", sent*payload, arrived.Load(), most)
		assert.NotZero(t, arrived.Load())
		assert.LessOrEqual(t, float64(arrived.Load()), most)
	})
}

// The filters of others stay, before and after ours, and see what passes.
func TestPolicerAmongFilters(t *testing.T) {
	w := newWire(t)
	conn := w.fromNode(t)
	s := policed(1e3, 2_000, 24)
	require.NoError(t, w.Set(s, s))
	counter := load(t, policed(400e9, 1<<30, 0)) // it lets all pass, and counts
	require.NoError(t, w.Conn.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: w.Port.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Priority: 100, Protocol: unix.ETH_P_ALL,
		},
		Fd: counter.Police.FD(), Name: "other", DirectAction: true,
	}))
	// unseen is how many frames passed the policer and were not seen by the other: those of the kernel that came before it was there. It
	// reads until no frame passes while it does.
	unseen := func() uint64 {
		for {
			before, seen := w.read(t, false), counter.bucket(t).Passed.Count
			if w.read(t, false).Packets == before.Packets {
				return before.Packets - seen
			}
		}
	}
	early := unseen()
	w.send(t, conn, 20, 958)
	assert.NotZero(t, w.read(t, false).Drops)
	assert.NotZero(t, counter.bucket(t).Passed.Count)
	assert.Equal(t, early, unseen(), "what passes, it sees")
	require.NoError(t, w.Set(topologies.Shape{}, topologies.Shape{}))
	filters, err := w.Conn.FilterList(w.Port, netlink.HANDLE_MIN_INGRESS)
	require.NoError(t, err)
	require.Len(t, filters, 1)
	assert.Equal(t, "other", filters[0].(*netlink.BpfFilter).Name)
}

// What XDP sends straight back passes no queueing discipline of the node, but the policer.
func TestPolicedXDP(t *testing.T) {
	const xdpPass, xdpTX, packets, frame, overhead, room = 2, 3, 100, 1000, 24, 10
	w := newWire(t)
	conn := w.toNode(t)
	attach := func(device string, verdict int32) error {
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "xdp", Type: ebpf.XDP, License: "Dual BSD/GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, verdict), asm.Return()},
		})
		if err != nil {
			return err
		}
		defer program.Close()
		link, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return netlink.LinkSetXdpFd(link, program.FD())
	}
	require.NoError(t, attach(w.name(), xdpPass)) // else what the other end sends by XDP is lost (drivers/net/veth.c)
	require.NoError(t, w.inNode(func() error { return attach("eth0", xdpTX) }))
	require.NoError(t, w.Conn.LinkSetGROMaxSize(w.Port, 1)) // as package netns does
	require.NoError(t, w.Set(topologies.Shape{}, policed(1e3, room*(frame+overhead), overhead)))
	w.send(t, conn, packets, frame-42)
	var stats Stats
	assert.Eventually(t, func() bool {
		stats = w.read(t, false)
		return stats.Drops >= packets-room
	}, 5*time.Second, time.Millisecond, "%+v", &stats)
	assert.InDelta(t, room, stats.Packets, 2, "passed, beside small ones")
}

// A super-packet that no one has cut passes whole or is dropped whole; package netns has none come.
func TestPolicedSuperPacket(t *testing.T) {
	const frames, payload, frame, overhead = 20, 958, 1000, 24
	w := newWire(t)
	conn := w.fromNode(t)
	raw, err := conn.(*net.UDPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, errors.Join(raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, payload)
	}), err))
	s := policed(1e3, (frames+1)*(frame+overhead), overhead)
	require.NoError(t, w.Set(s, s))
	before := w.read(t, false)
	w.send(t, conn, 2, frames*payload)
	var after Stats
	require.Eventually(t, func() bool {
		after = w.read(t, false)
		return after.Drops-before.Drops >= frames
	}, 5*time.Second, time.Millisecond)
	assert.InDelta(t, frames, after.Packets-before.Packets, 2, "beside small ones")
	assert.Equal(t, []uint64{frames, frames * frame}, []uint64{after.Drops - before.Drops, after.DroppedBytes - before.DroppedBytes})
}

// BenchmarkRead is what a look at a policed wire costs, which labs take every 50 ms.
func BenchmarkRead(b *testing.B) {
	for name, s := range map[string]topologies.Shape{
		"not limited": {}, "shaped": spec(1e9, 64_000, 64_000, 24), "policed": policed(1e9, 64_000, 24),
	} {
		b.Run(name, func(b *testing.B) {
			w := newWire(b)
			require.NoError(b, w.Set(s, s))
			for b.Loop() {
				if _, _, err := w.Read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
