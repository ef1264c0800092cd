package dataplane

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// A flow of SNAT has two entries. Whichever is evicted is written anew, and the pod sees the same source port.
func TestHalfOfSNATFlowIsEvicted(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for _, port := range []uint16{40000, 2000} {
			for _, evicted := range []string{"flows", "snat_ports"} {
				d := w.lb(t, services.ModeSNAT)
				packet := packetSpec{src: w.client, dst: w.vip, sport: port, dport: portOther, syn: true}
				sourceAtPod := func() uint16 {
					r := d.send(t, FromNetwork, packet.frame(t))
					require.Equal(t, only("to-overlay-snat"), r.reasons)
					return dissect(t, r.frame).inner.ports()[0]
				}
				before := sourceAtPod()
				packet.syn, packet.ack = false, true
				require.Equal(t, before, sourceAtPod())
				maps := map[string][]*ebpf.Map{
					"flows":      {d.objects.Flows, d.objects.FlowsUnconfirmed},
					"snat_ports": {d.objects.SnatPorts, d.objects.SnatPortsUnconfirmed},
				}
				for _, m := range maps[evicted] {
					emptyMap(t, m)
				}
				for range 2 {
					assert.Equal(t, before, sourceAtPod(), "port %d, %s evicted", port, evicted)
				}
				reply := packetSpec{src: w.pod, dst: w.lbNode, sport: 90, dport: before, ack: true}
				assert.Equal(t, only("reply-from-snat"), d.send(t, FromNetwork, reply.frame(t)).reasons)
			}
		}
	})
}

// Many more flows than the table of flows holds keep their source ports, for which there is room.
func TestFlowsFewerThanSNATPorts(t *testing.T) {
	w := worlds()[0]
	d := w.lb(t, services.ModeSNAT, func(c *Config) { c.Sizes.Flows, c.Sizes.FlowsUnconfirmed = 128, 128 })
	source := func(port uint16, syn bool) uint16 {
		p := packetSpec{src: w.client, dst: w.vip, sport: port, dport: portOther, syn: syn, ack: !syn}
		r := d.send(t, FromNetwork, p.frame(t))
		require.Equal(t, only("to-overlay-snat"), r.reasons)
		return dissect(t, r.frame).inner.ports()[0]
	}
	const first, count = 2000, 400
	before := make(map[uint16]uint16)
	for port := uint16(first); port < first+count; port++ {
		before[port] = source(port, true)
		require.Equal(t, before[port], source(port, false))
	}
	for port := uint16(first); port < first+count; port++ {
		assert.Equal(t, before[port], source(port, false), "port %d", port)
	}
}

// A reset that somebody sends in the client's name ends nothing: the flow's next packet takes it back, and until then nobody else gets
// what is the flow's.
func TestForgedReset(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		few := func(c *Config) { c.snatPorts = portRange{40000, 40000} }
		d := w.lb(t, services.ModeSNAT, few)
		packet := packetSpec{src: w.client, dst: w.vip, sport: 1024, dport: portOther, syn: true}
		require.Equal(t, only("to-overlay-snat"), d.send(t, FromNetwork, packet.frame(t)).reasons)
		packet.syn, packet.ack = false, true
		require.Equal(t, only("to-overlay-snat"), d.send(t, FromNetwork, packet.frame(t)).reasons)
		reset := packetSpec{src: w.client, dst: w.vip, sport: 1024, dport: portOther, rst: true}
		require.Equal(t, only("to-overlay-snat"), d.send(t, FromNetwork, reset.frame(t)).reasons)
		d.ageSNAT(t, 10)
		other := packetSpec{src: w.other, dst: w.vip, sport: 1024, dport: portOther, syn: true}
		assert.Equal(t, only("no-port"), d.send(t, FromNetwork, other.frame(t)).reasons, "the flow still has its port")
		assert.Equal(t, only("to-overlay-snat"), d.send(t, FromNetwork, packet.frame(t)).reasons)
		d.ageSNAT(t, 600)
		assert.Equal(t, only("no-port"), d.send(t, FromNetwork, other.frame(t)).reasons, "the reset is taken back")

		require.Equal(t, only("to-overlay-snat"), d.send(t, FromNetwork, reset.frame(t)).reasons)
		d.ageSNAT(t, 241)
		assert.Equal(t, only("to-overlay-snat"), d.send(t, FromNetwork, other.frame(t)).reasons, "four silent minutes after a reset")
	})
}

// Who sends a FIN and a SYN in a client's name does not lead its connection to another backend.
func TestForgedSYNRedirectsNothing(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		for port := uint16(1024); port < 1040; port++ {
			packet := packetSpec{src: w.client, dst: w.vip, sport: port, dport: portTwo, syn: true}
			backend := d.backendOf(t, packet)
			packet.syn, packet.ack = false, true
			require.Equal(t, backend, d.backendOf(t, packet))
			one := w.state("lb", services.ModeDSR)
			one.Tables = without(one.Tables, portTwo, map[netip.Addr]int{w.pod: backendTwoB, w.second: backendTwoA}[backend])
			_, err := d.Apply(one) // its hash would now have another table
			require.NoError(t, err)
			_, err = d.Apply(w.state("lb", services.ModeDSR))
			require.NoError(t, err)
			for _, forged := range []packetSpec{
				{src: w.client, dst: w.vip, sport: port, dport: portTwo, rst: true},
				{src: w.client, dst: w.vip, sport: port, dport: portTwo, fin: true, ack: true},
				{src: w.client, dst: w.vip, sport: port, dport: portTwo, syn: true},
			} {
				assert.Equal(t, backend, d.backendOf(t, forged))
			}
			assert.Equal(t, backend, d.backendOf(t, packet))
		}
	})
}

// One packet in a client's name, through another frontend or straight to the pod, does not keep the client out.
func TestUnconfirmedGivesWay(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for _, udp := range []bool{false, true} {
			through := func(frontend netip.Addr, port uint16) packetSpec {
				return packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: !udp, udp: udp, geneve: w.around(dsrOption(frontend, port))}
			}
			direct := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: !udp, udp: udp}
			reply := packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 40000, ack: !udp, udp: udp}
			for name, forged := range map[string]packetSpec{"another frontend": through(w.vip, portOther), "straight to the pod": direct} {
				d := w.worker(t, services.ModeDSR)
				d.send(t, FromNetwork, forged.frame(t))
				assert.Equal(t, only("from-overlay"), d.send(t, FromNetwork, through(w.vip, portEcho).frame(t)).reasons, name)
				back := dissect(t, d.send(t, FromPod, reply.frame(t)).frame)
				assert.Equal(t, [2]netip.Addr{w.vip, w.client}, back.addresses(), name)
			}
		}
	})
}

// ageSNAT makes all entries for replies of SNAT older.
func (d *DataPath) ageSNAT(t *testing.T, seconds uint64) {
	t.Helper()
	for _, m := range []*ebpf.Map{d.objects.SnatPorts, d.objects.SnatPortsUnconfirmed} {
		entries := make(map[bpf.DatapathSnatKey]bpf.DatapathSnat)
		require.NoError(t, readEntries(m, func(key bpf.DatapathSnatKey, value bpf.DatapathSnat) { entries[key] = value }))
		for key, value := range entries {
			value.Seen -= seconds * 1e9 // where the machine has run for less it is negative, and the sum with a time right all the same
			require.NoError(t, m.Put(key, value))
		}
	}
}
