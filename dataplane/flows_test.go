package dataplane

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// backendOf sends a packet from the network and returns the backend that it goes to.
func (d *DataPath) backendOf(t *testing.T, p packetSpec) netip.Addr {
	t.Helper()
	out := dissect(t, d.send(t, FromNetwork, p.frame(t)).frame)
	require.NotNil(t, out.inner)
	return out.inner.addresses()[1]
}

// Every LB node selects the same backend for a flow, so a flow that moves from one to another goes on.
func TestTakeover(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		one, other := w.lb(t, services.ModeDSR), w.lb(t, services.ModeDSR)
		seen := make(map[netip.Addr]int)
		for port := uint16(1024); port < 1124; port++ {
			syn := w.syn(portTwo)
			syn.sport = port
			b := one.backendOf(t, syn)
			syn.syn, syn.ack, syn.mss = false, true, 0
			r := other.send(t, FromNetwork, syn.frame(t))
			out := dissect(t, r.frame)
			assert.Equal(t, b, out.inner.addresses()[1])
			assert.Equal(t, string(dsrOption(w.vip, portTwo)), string(out.geneve.Contents[8:]), "the pod node can learn it anew")
			seen[b]++
		}
		assert.Len(t, seen, 2, "both backends are used: %v", seen)
	})
}

// A draining backend keeps the flows that it has, and gets no new ones; when it is gone its flows, and no others, move.
func TestDrain(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		flows := make(map[uint16]netip.Addr)
		packet := func(port uint16, syn bool) packetSpec {
			p := packetSpec{src: w.client, dst: w.vip, sport: port, dport: portTwo, syn: syn, ack: !syn}
			return p
		}
		for port := uint16(1024); port < 1088; port++ {
			flows[port] = d.backendOf(t, packet(port, true))
			d.send(t, FromNetwork, packet(port, false).frame(t))
		}
		state := w.state("lb", services.ModeDSR)
		without(without(state.Tables, portTwo, backendTwoA), portAffinity, backendTwoA)
		state.Tables.Backends[backendTwoA].Draining = true
		_, err := d.Apply(state)
		require.NoError(t, err)
		for port, b := range flows {
			assert.Equal(t, b, d.backendOf(t, packet(port, false)), "flow of port %d goes on", port)
			assert.Equal(t, w.second, d.backendOf(t, packet(port+1000, true)), "a new one does not go to it")
		}

		state = w.state("lb", services.ModeDSR)
		without(without(state.Tables, portTwo, backendTwoA), portAffinity, backendTwoA)
		state.Tables.Backends = slices.Delete(state.Tables.Backends, backendTwoA, backendTwoA+1)
		for i := range state.Tables.Frontends {
			for j, b := range state.Tables.Frontends[i].Backends {
				if b > backendTwoA {
					state.Tables.Frontends[i].Backends = slices.Clone(state.Tables.Frontends[i].Backends)
					state.Tables.Frontends[i].Backends[j]--
				}
			}
		}
		_, err = d.Apply(state)
		require.NoError(t, err)
		for port := range flows {
			assert.Equal(t, w.second, d.backendOf(t, packet(port, false)), "port %d", port)
		}
	})
}

// A client with session affinity has one backend, whatever its ports.
func TestAffinity(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d, other := w.lb(t, services.ModeDSR), w.lb(t, services.ModeDSR)
		seen := make(map[netip.Addr]int)
		client := w.client
		for range 32 {
			client = client.Next()
			syn := packetSpec{src: client, dst: w.vip, sport: 1024, dport: portAffinity, syn: true}
			b := d.backendOf(t, syn)
			seen[b]++
			for range 8 {
				syn.sport++
				assert.Equal(t, b, d.backendOf(t, syn))
			}
			assert.Equal(t, b, other.backendOf(t, syn), "all LB nodes agree")
		}
		assert.Len(t, seen, 2, "both backends are used: %v", seen)

		// It outlives a change of the backends that would select another one.
		var clients []netip.Addr
		for c := w.client.Next(); len(clients) < 16; c = c.Next() {
			if d.backendOf(t, packetSpec{src: c, dst: w.vip, sport: 1, dport: portAffinity, syn: true}) == w.pod {
				clients = append(clients, c)
			}
		}
		state := w.state("lb", services.ModeDSR)
		state.Tables.Backends[backendTwoB].Weight = 100
		_, err := d.Apply(state)
		require.NoError(t, err)
		for _, c := range clients {
			assert.Equal(t, w.pod, d.backendOf(t, packetSpec{src: c, dst: w.vip, sport: 2, dport: portAffinity, syn: true}))
		}
	})
}

// A service may select at random: flows of one client go to all backends, and each stays with its own.
func TestRandomSelection(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		seen := make(map[netip.Addr]int)
		for port := uint16(1024); port < 1088; port++ {
			p := packetSpec{src: w.client, dst: w.vip.Next(), sport: port, dport: portTwo, syn: true}
			b := d.backendOf(t, p)
			seen[b]++
			p.syn, p.ack = false, true
			for range 3 {
				assert.Equal(t, b, d.backendOf(t, p))
			}
		}
		assert.Len(t, seen, 2, "both backends are used: %v", seen)
	})
}

// SNAT has so many ports; when all are taken there is a reason, not silence, and running flows go on.
func TestPortExhaustion(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		few := func(c *Config) { c.snatPorts = portRange{40000, 40003} }
		d := w.lb(t, services.ModeSNAT, few)
		taken := make(map[uint16]uint16) // client's port to the node's
		var refused int
		for port := uint16(1024); port < 1040; port++ {
			syn := w.syn(portEcho)
			syn.sport = port
			r := d.send(t, FromNetwork, syn.frame(t))
			if r.reasons["no-port"] == 1 {
				refused++
				assert.EqualValues(t, actShot, r.action)
				continue
			}
			taken[port] = dissect(t, r.frame).inner.ports()[0]
		}
		assert.Len(t, taken, 4)
		assert.Equal(t, 12, refused)
		for port, node := range taken {
			ack := packetSpec{src: w.client, dst: w.vip, sport: port, dport: portEcho, ack: true}
			assert.Equal(t, node, dissect(t, d.send(t, FromNetwork, ack.frame(t)).frame).inner.ports()[0])
		}
	})
}

// A flood of SYNs from a million tuples must not cost running flows: neither their backend, nor their SNAT port, nor, on the
// pod node, the frontend of their answers.
func TestFlood(t *testing.T) {
	flood := 1_000_000
	if testing.Short() { // as under emulation; still many times what the tables hold
		flood = 20_000
	}
	w := worlds()[0]
	for _, mode := range []services.Mode{services.ModeDSR, services.ModeSNAT} {
		t.Run(string(mode), func(t *testing.T) {
			lb, worker := w.lb(t, mode), w.worker(t, mode)
			running := func(port uint16, syn bool) [2]uint16 {
				p := packetSpec{src: w.client, dst: w.vip, sport: port, dport: portOther, syn: syn, ack: !syn}
				r := lb.send(t, FromNetwork, p.frame(t))
				require.Equal(t, only("to-overlay-"+string(mode)), r.reasons)
				require.Equal(t, only("from-overlay"), worker.send(t, FromNetwork, r.frame).reasons)
				return dissect(t, r.frame).inner.ports()
			}
			before := make(map[uint16][2]uint16)
			for port := uint16(1024); port < 1124; port++ {
				running(port, true)
				before[port] = running(port, false)
			}
			syn := w.syn(portEcho)
			lb.flood(t, flood, syn.frame(t), 14)
			syn.dst, syn.geneve = w.pod, w.around(dsrOption(w.vip, portEcho))
			worker.flood(t, flood, syn.frame(t), 14+50+12)
			for port, ports := range before {
				assert.Equal(t, ports, running(port, false), "flow of port %d", port)
			}
		})
	}
}

// flood sends the frame n times, each time from another source; ip is where the IPv4 header begins that has it.
func (d *DataPath) flood(t *testing.T, n int, frame []byte, ip int) {
	t.Helper()
	for i := range n {
		binary.BigEndian.PutUint32(frame[ip+12:], 0x0b000000+uint32(i)/2)
		binary.BigEndian.PutUint16(frame[ip+20:], 1024+uint16(i))
		_, err := d.objects.FromNetwork.Run(&ebpf.RunOptions{Data: frame})
		require.NoError(t, err)
	}
}
