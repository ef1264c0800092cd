package shape

import (
	"encoding/binary"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
)

// Verdicts of the program (linux/pkt_cls.h).
const (
	goOn = uint32(0xffffffff) // TC_ACT_UNSPEC: the next filter decides
	shot = uint32(2)          // TC_ACT_SHOT
)

// policed is a policed direction.
func policed(rate topologies.Rate, burst topologies.Size, overhead int) topologies.Shape {
	return topologies.Shape{Rate: rate, Limit: topologies.LimitPolice, Burst: burst, Overhead: &overhead}
}

func TestPolicerConfig(t *testing.T) {
	for _, test := range []struct {
		name  string
		shape topologies.Shape
		want  policeConfig
		err   string
	}{
		{"as on the slide", policed(100e6, 3100, 24), policeConfig{Rate: 100e6, Full: 3100 * 8e9, FillTime: 248_000, Overhead: 24}, ""},
		{"no overhead", topologies.Shape{Rate: 1e3, Burst: 125}, policeConfig{Rate: 1e3, Full: 1000e9, FillTime: 1e9}, ""},
		{"rounded up", policed(3, 1, 0), policeConfig{Rate: 3, Full: 8e9, FillTime: 2_666_666_667}, ""},
		{"most", policed(400e9, 1<<30, 256), policeConfig{Rate: 400e9, Full: 1 << 30 * 8e9, FillTime: 21_474_837, Overhead: 256}, ""},
		{"burst too large", policed(1e9, 1<<30+1, 0), policeConfig{},
			"rate of 1000000000 bit/s and burst of 1073741825 bytes: use a rate above 0 and a burst of 1 to 1073741824"},
		{"no burst", policed(1e9, 0, 0), policeConfig{},
			"rate of 1000000000 bit/s and burst of 0 bytes: use a rate above 0 and a burst of 1 to 1073741824"},
		{"no rate", policed(0, 1, 0), policeConfig{}, "rate of 0 bit/s and burst of 1 bytes: use a rate above 0 and a burst of 1 to 1073741824"},
		{"overhead", policed(1, 1, -1), policeConfig{}, "overhead of -1 bytes: use 0 to 65535"},
	} {
		got, err := policerConfig(test.shape)
		if test.err != "" {
			assert.EqualError(t, err, test.err, test.name)
			continue
		}
		require.NoError(t, err, test.name)
		assert.Equal(t, test.want, got, test.name)
	}
}

// program is a policer that is attached nowhere.
type program struct {
	*policeObjects
	limit policeConfig
}

func load(t testing.TB, s topologies.Shape) program {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loads BPF programs")
	}
	limit, err := policerConfig(s)
	require.NoError(t, err)
	objects, err := loadPolicer(limit, nil)
	require.NoError(t, err)
	t.Cleanup(func() { objects.Close() })
	return program{objects, limit}
}

// run gives the program a packet, and returns its verdict.
func (p program) run(t testing.TB, packet []byte, segments, segmentSize uint32) uint32 {
	t.Helper()
	context := make([]byte, 192) // struct __sk_buff of linux/bpf.h
	binary.NativeEndian.PutUint32(context[164:], segments)
	binary.NativeEndian.PutUint32(context[176:], segmentSize)
	verdict, err := p.Police.Run(&ebpf.RunOptions{Data: packet, Context: context})
	require.NoError(t, err)
	return verdict
}

func (p program) bucket(t testing.TB) (b policeBucket) {
	t.Helper()
	require.NoError(t, p.Buckets.LookupWithFlags(uint32(0), &b, ebpf.LookupLock))
	return b
}

func (p program) put(t testing.TB, b policeBucket) {
	t.Helper()
	require.NoError(t, p.Buckets.Put(uint32(0), b))
}

// now is what bpf_ktime_get_ns says.
func now(t testing.TB) uint64 {
	t.Helper()
	var ts unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
	return uint64(ts.Nano())
}

// A burst passes as far as the bucket goes; each frame after it is dropped, and counted. At 1 bit/s no byte comes in during a test.
func TestPolicerBurst(t *testing.T) {
	for _, test := range []struct{ frame, overhead, passed int }{{60, 24, 1}, {60, 0, 7}, {1514, 24, 2}, {1514, 24, 20}, {3014, 256, 3}} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			const frames = 25
			burst := test.passed * (test.frame + test.overhead)
			p := load(t, policed(1, topologies.Size(burst), test.overhead))
			for i := range frames {
				want := goOn
				if i >= test.passed {
					want = shot
				}
				require.Equal(t, want, p.run(t, make([]byte, test.frame), 0, 0), "frame %d", i)
			}
			b := p.bucket(t)
			assert.Equal(t, [2]int{test.passed, test.passed * test.frame}, [2]int{int(b.Passed.Count), int(b.Passed.Bytes)})
			dropped := frames - test.passed
			assert.Equal(t, [2]int{dropped, dropped * test.frame}, [2]int{int(b.Dropped.Count), int(b.Dropped.Bytes)})
		})
	}
}

// What is too large for what is left is dropped, and takes nothing from what a smaller frame still passes by.
func TestPolicerSmallerFramePasses(t *testing.T) {
	p := load(t, policed(1, 1600, 24))
	assert.Equal(t, goOn, p.run(t, make([]byte, 976), 0, 0))
	assert.Equal(t, shot, p.run(t, make([]byte, 976), 0, 0))
	assert.Equal(t, goOn, p.run(t, make([]byte, 576), 0, 0))
	assert.Equal(t, shot, p.run(t, make([]byte, 60), 0, 0))
}

// The bucket fills by exactly what the rate brings, at all rates, and not beyond its burst, however long nothing came.
func TestPolicerFills(t *testing.T) {
	const frame, overhead, cost = 1000, 24, 1024 * nanobitsPerByte
	for _, rate := range []topologies.Rate{1e3, 3e3, 100e6, 999_999_999, 10e9, 400e9} {
		for _, idle := range []time.Duration{0, 1, time.Microsecond, time.Millisecond, time.Second, time.Hour, 30 * 24 * time.Hour} {
			p := load(t, policed(rate, 1<<30, overhead))
			begin := now(t) - uint64(idle) // may be before the machine was started
			p.put(t, policeBucket{Filled: begin, Credit: cost})
			require.Equal(t, goOn, p.run(t, make([]byte, frame), 0, 0))
			b := p.bucket(t)
			elapsed := b.Filled - begin
			assert.GreaterOrEqual(t, elapsed, uint64(idle))
			want := p.limit.Full - cost
			if elapsed < p.limit.FillTime {
				want = min(elapsed*uint64(rate)+cost, p.limit.Full) - cost
			}
			assert.Equal(t, want, b.Credit, "%s after %s", rate, idle)
		}
	}
}

// A CPU that read the clock before another came first adds nothing, and takes no time away.
func TestPolicerClockOfOtherCPU(t *testing.T) {
	p := load(t, policed(1e9, 10_000, 0))
	later := now(t) + uint64(time.Hour)
	p.put(t, policeBucket{Filled: later, Credit: 1500 * nanobitsPerByte})
	require.Equal(t, goOn, p.run(t, make([]byte, 1000), 0, 0))
	b := p.bucket(t)
	assert.Equal(t, policeBucket{Filled: later, Credit: 500 * nanobitsPerByte, Passed: policeFrames{Count: 1, Bytes: 1000}}, b)
}

// ethernet, ip4 and so on make headers, whose content is what the program looks at.
func ethernet(protocol uint16) []byte {
	return binary.BigEndian.AppendUint16(make([]byte, 12), protocol)
}
func ip4(protocol byte) []byte {
	header := make([]byte, 20)
	header[0], header[9] = 0x45, protocol
	return header
}
func ip6(next byte) []byte {
	header := make([]byte, 40)
	header[0], header[6] = 0x60, next
	return header
}
func tcp(length int) []byte {
	header := make([]byte, length)
	header[12] = byte(length / 4 << 4)
	return header
}
func udp(port uint16) []byte {
	header := make([]byte, 8)
	binary.BigEndian.PutUint16(header[2:], port)
	return header
}
func geneve(options int) []byte {
	header := make([]byte, 8+options)
	header[0] = byte(options / 4)
	return header
}

// A super-packet counts as the frames that it would be cut into, each with all headers, and passes or is dropped whole.
func TestPolicerSuperPackets(t *testing.T) {
	const segments, size, last, overhead = 5, 500, 300, 24 // all of it fits into what the kernel takes for a test
	for name, layers := range map[string][][]byte{
		"TCP":            {ethernet(unix.ETH_P_IP), ip4(unix.IPPROTO_TCP), tcp(32)},
		"UDP":            {ethernet(unix.ETH_P_IP), ip4(unix.IPPROTO_UDP), udp(53)},
		"TCP over IPv6":  {ethernet(unix.ETH_P_IPV6), ip6(unix.IPPROTO_TCP), tcp(20)},
		"in Geneve":      {ethernet(unix.ETH_P_IP), ip4(unix.IPPROTO_UDP), udp(6081), geneve(12), ethernet(unix.ETH_P_IPV6), ip6(unix.IPPROTO_TCP), tcp(32)},
		"in Geneve, UDP": {ethernet(unix.ETH_P_IPV6), ip6(unix.IPPROTO_UDP), udp(6081), geneve(0), ethernet(unix.ETH_P_IP), ip4(unix.IPPROTO_UDP), udp(9)},
	} {
		t.Run(name, func(t *testing.T) {
			var packet []byte
			for _, l := range layers {
				packet = append(packet, l...)
			}
			headers := len(packet)
			packet = append(packet, make([]byte, (segments-1)*size+last)...)
			bytes := segments*headers + (segments-1)*size + last
			p := load(t, policed(1, topologies.Size(bytes+segments*overhead), overhead))
			assert.Equal(t, goOn, p.run(t, packet, segments, size), "the bucket holds just it")
			assert.Equal(t, shot, p.run(t, packet, segments, size))
			b := p.bucket(t)
			want := policeFrames{Count: segments, Bytes: uint64(bytes)}
			assert.Equal(t, [2]policeFrames{want, want}, [2]policeFrames{b.Passed, b.Dropped})
			assert.Less(t, b.Credit, uint64(nanobitsPerByte), "nothing is left")
		})
	}
}

// BenchmarkPolicer is what a frame costs that passes, and one that is dropped.
func BenchmarkPolicer(b *testing.B) {
	for name, s := range map[string]topologies.Shape{"passes": policed(400e9, 1<<30, 24), "drops": policed(1, 1, 24)} {
		b.Run(name, func(b *testing.B) {
			p := load(b, s)
			_, took, err := p.Police.Benchmark(make([]byte, 1514), b.N, nil)
			require.NoError(b, err)
			b.ReportMetric(float64(took.Nanoseconds()), "ns/frame")
		})
	}
}
