package dataplane

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/benchmark"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Each figure is the minimum and median of so many runs, each of so many packets.
const (
	benchRuns    = 40
	benchPackets = 100_000
)

// benchSizes hold what the benchmarks need.
var benchSizes = Sizes{
	Frontends: 64, Backends: 64, Slots: 16384, Flows: 1 << 18, FlowsUnconfirmed: 1 << 17, SNATPorts: 1 << 18, SNATPortsUnconfirmed: 1 << 17,
	Replies: 1 << 18, RepliesUnconfirmed: 1 << 17, Pods: 16, LocalBackends: 64, Nodes: 16, Services: 64, Ranges: 64, Events: 1 << 12,
}

// benchWorld is the world of a family with a service of ten backends, so that SNAT has ports for many flows.
func benchWorld(family string) world {
	for _, w := range worlds() {
		if w.name == family {
			return w
		}
	}
	panic("no world " + family)
}

func (w world) benchState(node string, mode services.Mode) State {
	s := w.state(node, mode)
	var backends []int
	backend := w.second
	for range 10 {
		backend = backend.Next()
		backends = append(backends, len(s.Tables.Backends))
		s.Tables.Backends = append(s.Tables.Backends, services.Backend{Address: backend, Port: portTwo, Protocol: services.TCP,
			Node: "worker", NodeAddress: w.podTunnel, Weight: 1})
	}
	for i := range s.Tables.Frontends {
		if s.Tables.Frontends[i].Port == portTwo {
			s.Tables.Frontends[i].Backends = backends
		}
	}
	return s
}

// benchCase is a program at work: frames that prepare its tables, and the one that is measured.
type benchCase struct {
	name    string
	node    string
	mode    services.Mode
	point   Direction
	prepare []packetSpec
	packet  packetSpec
	reason  string // that all packets must be counted under
	answer  bool   // the client is the destination
}

// benchCases are all that is measured of a family, at one hook.
func benchCases(w world, hook benchmark.Hook) []benchCase {
	client := w.client
	if client.Is4() {
		client = addr("172.16.0.0") // addresses and ports count up from here
	} else {
		client = addr("2001:db8:1::")
	}
	point := FromNetwork
	if hook == benchmark.XDP {
		point = FromNetworkXDP
	}
	// 74 bytes, as of a TCP segment over IPv4 with 20 bytes of payload or options; over IPv6 none are left.
	request := packetSpec{src: client, dst: w.vip, sport: 1024, dport: portTwo, ack: true, payload: 20}
	if client.Is6() {
		request.payload = 0
	}
	syn := request
	syn.syn, syn.ack = true, false
	inner, first := request, syn
	inner.dst, inner.dport, inner.geneve = w.pod, 8080, w.around(nil)
	first.dst, first.dport, first.geneve = w.pod, 8080, w.around(dsrOption(w.vip, portEcho))
	answer := packetSpec{src: w.pod, dst: client, sport: 8080, dport: 1024, ack: true, payload: request.payload}
	cases := []benchCase{
		{"forward/established", "lb", services.ModeDSR, point, []packetSpec{syn, request}, request, "to-overlay-dsr", false},
		{"forward/new", "lb", services.ModeDSR, point, nil, syn, "to-overlay-dsr", false},
		{"snat/established", "lb", services.ModeSNAT, point, []packetSpec{syn, request}, request, "to-overlay-snat", false},
		{"receive/established", "worker", services.ModeDSR, point, []packetSpec{first, inner}, inner, "from-overlay", false},
	}
	if hook == benchmark.TC {
		cases = append(cases, benchCase{"reply/established", "worker", services.ModeDSR, FromPod, []packetSpec{first, inner}, answer, "reply-direct", true})
	}
	return cases
}

// job is one frame of the case for a program, with the offsets of what differs between flows.
func (c benchCase) job(t testing.TB, d *DataPath, hook benchmark.Hook, p packetSpec, flows uint32) benchmark.Job {
	j := benchmark.Job{Hook: hook, Frame: p.frame(t), Flows: flows}
	if len(j.Frame)%2 == 1 {
		j.Frame = j.Frame[:len(j.Frame)-1]
	}
	ip := 14
	if p.geneve != nil {
		ip += 50 + len(p.geneve.options)
		if p.geneve.src.Is6() {
			ip += 20
		}
	}
	source, size, ports := ip+12, 4, ip+20
	if p.src.Is6() {
		source, size, ports = ip+8, 16, ip+40
	}
	j.AddressOffset, j.PortOffset = source+size-4, ports
	if p.src == c.packet.src && c.answer {
		j.AddressOffset, j.PortOffset = j.AddressOffset+size, j.PortOffset+2
	}
	j.Program = *d.objects.DatapathPrograms.ByName()[string(c.point)]
	if c.answer && p.geneve != nil {
		j.Program = d.objects.FromNetwork
	}
	return j
}

// BenchmarkPackets prints what each program costs per packet, in net nanoseconds and in multiples of a yardstick program that runs
// beside it: what a wrapper takes that restores the packet before each repetition, and an empty program, is taken off. It measures the
// same amount whatever -benchtime says. With
// BENCH_OUT it also writes the figures to that file, as JSON.
func BenchmarkPackets(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root: loads BPF programs")
	}
	bench, err := benchmark.New()
	require.NoError(b, err)
	defer bench.Close()
	var figures []benchmark.Figure
	record := func(name string, j benchmark.Job, check func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			net, err := bench.Measure(j, benchRuns, benchPackets)
			require.NoError(b, err)
			check(b)
			b.ReportMetric(net.Min, "net-ns-min")
			b.ReportMetric(net.Median, "net-ns-median")
			b.ReportMetric(net.Yardsticks, "yardsticks")
			b.ReportMetric(0, "ns/op") // which would be that of all runs together
			figures = append(figures, benchmark.Figure{Name: name, Net: net})
		})
	}
	for _, hook := range []benchmark.Hook{benchmark.XDP, benchmark.TC} {
		frame := benchCases(benchWorld("ipv4"), hook)[0].packet.frame(b)
		record(string(hook)+"/adjust/room/ipv4/1", benchmark.Job{
			Hook: hook, Program: bench.Adjust(hook), Frame: frame, Flows: 1, AddressOffset: 14 + 12, PortOffset: 14 + 20,
		}, func(*testing.B) {})
		for _, family := range []string{"ipv4", "ipv6"} {
			w := benchWorld(family)
			for _, c := range benchCases(w, hook) {
				counts := []uint32{1, 4096, 65536}
				if c.prepare == nil {
					counts = []uint32{benchmark.NewTuples}
				}
				for _, flows := range counts {
					name := fmt.Sprintf("%s/%s/%s/%d", hook, c.name, family, flows)
					d, j := c.load(b, bench, w, hook, flows)
					before := d.counts(b)
					record(name, j, func(b *testing.B) {
						for reason, n := range d.counts(b) {
							require.True(b, n == before[reason] || reason == c.reason, "%d packets took another path: %s", n, reason)
						}
					})
				}
			}
		}
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		w := benchWorld(family)
		c := benchCases(w, benchmark.XDP)[0]
		d, j := c.load(b, bench, w, benchmark.XDP, 1)
		parts := loadParts(b, d, w.lbAddresses)
		for _, name := range benchmark.Parts() {
			j.Program = parts.Programs[name]
			record(fmt.Sprintf("xdp/%s/established/%s/1", strings.Replace(name, "part_", "up-to-", 1), family), j, func(*testing.B) {})
		}
	}
	if path := os.Getenv("BENCH_OUT"); path != "" {
		out, err := json.MarshalIndent(benchmark.Record{Machine: benchmark.ThisMachine(), Figures: figures}, "", "  ")
		require.NoError(b, err)
		require.NoError(b, os.WriteFile(path, append(out, '\n'), 0o644))
	}
}

// load loads the case's node and fills its tables by sending the frames that prepare them, once for each flow.
func (c benchCase) load(b *testing.B, bench *benchmark.Bench, w world, hook benchmark.Hook, flows uint32) (*DataPath, benchmark.Job) {
	addresses := map[string][]netip.Addr{"lb": w.lbAddresses, "worker": w.podsNodes}[c.node]
	d := newNode(b, addresses, w.benchState(c.node, c.mode), func(c *Config) { c.Sizes, c.unmarked = benchSizes, true })
	for _, p := range c.prepare {
		_, err := bench.Once(c.job(b, d, hook, p, flows), int(flows))
		require.NoError(b, err)
	}
	return d, c.job(b, d, hook, c.packet, flows)
}

// loadParts loads the parts of the forward with the node's own maps and constants.
func loadParts(b *testing.B, d *DataPath, addresses []netip.Addr) *ebpf.Collection {
	config, err := Config{Addresses: addresses, Device: "lo", PinDir: "-", Sizes: benchSizes, unmarked: true}.withDefaults()
	require.NoError(b, err)
	spec, err := specOf(config, &net.Interface{Index: 1, HardwareAddr: nodeMAC})
	require.NoError(b, err)
	maps := make(map[string]*ebpf.Map)
	for name, m := range d.objects.DatapathMaps.ByName() {
		maps[name] = *m
	}
	parts, err := benchmark.LoadParts(maps, spec.Variables)
	require.NoError(b, err)
	b.Cleanup(parts.Close)
	return parts
}
