package dataplane

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// broken loads a node with a fault.
func broken(f Fault) func(*Config) { return func(c *Config) { c.Fault = f } }

func TestParseFault(t *testing.T) {
	for _, f := range append(Faults(), FaultNone) {
		parsed, err := ParseFault(string(f))
		require.NoError(t, err)
		assert.Equal(t, f, parsed)
	}
	_, err := ParseFault("none")
	assert.EqualError(t, err, `fault "none": must be no-option, no-reply-rewrite, snat, or empty for none`)
	numbers := map[bpf.DatapathFault]bool{faultNumber(FaultNone): true}
	for _, f := range Faults() {
		assert.NotContains(t, numbers, faultNumber(f), "%s is a fault of its own", f)
		numbers[faultNumber(f)] = true
	}
}

// Without the option the packet is the same otherwise, and the pod node refuses it.
func TestFaultNoOption(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		ack := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portTwo, ack: true, payload: 100}
		datagram := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portEcho, udp: true, payload: 33}
		good, bad, worker := w.lb(t, services.ModeDSR), w.lb(t, services.ModeDSR, broken(FaultNoOption)), w.worker(t, services.ModeDSR)
		for _, packet := range []packetSpec{w.syn(portEcho), ack, datagram} { // all that would carry it
			for hook, action := range hooks() {
				r := bad.send(t, hook, packet.frame(t))
				assert.EqualValues(t, action, r.action)
				assert.Equal(t, only("to-overlay-dsr"), r.reasons)
				outer := dissect(t, r.frame)
				checkOuter(t, w, outer, nil)

				right := good.send(t, hook, packet.frame(t)).frame
				inner, option := len(packet.frame(t)), len(dsrOption(w.vip, portEcho))
				assert.Len(t, r.frame, len(right)-option)
				assert.Equal(t, right[len(right)-inner:], r.frame[len(r.frame)-inner:], "the inner frame is as it should be")

				refused := worker.send(t, FromNetwork, r.frame)
				assert.EqualValues(t, actRedirect, refused.action, "back to the LB node, to ask for the option")
				assert.Equal(t, only("no-flow"), refused.reasons)
			}
		}
	})
}

// The answer of a known flow leaves with nothing but its TTL and MSS changed: past the check for leaks.
func TestFaultNoReplyRewrite(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		tests := []struct {
			name           string
			packet, answer packetSpec
		}{
			{
				name:   "TCP",
				packet: packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 90, syn: true, mss: 1460, geneve: w.around(dsrOption(w.vip, portOther))},
				answer: packetSpec{src: w.pod, dst: w.client, sport: 90, dport: 40000, syn: true, ack: true, mss: 1460},
			},
			{
				name:   "UDP",
				packet: packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, udp: true, payload: 5, geneve: w.around(dsrOption(w.vip, portEcho))},
				answer: packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 40000, udp: true, payload: 9},
			},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				d := w.worker(t, services.ModeDSR, broken(FaultNoReplyRewrite))
				in := d.send(t, FromNetwork, test.packet.frame(t))
				assert.Equal(t, only("from-overlay"), in.reasons)
				assert.Equal(t, [2]netip.Addr{w.client, w.pod}, dissect(t, in.frame).addresses())

				r := d.send(t, FromPod, test.answer.frame(t))
				assert.EqualValues(t, actRedirect, r.action)
				assert.Equal(t, only("reply-direct"), r.reasons)
				want := test.answer
				want.ttl = 63
				if want.mss != 0 {
					ip, tunnel := w.headers()
					want.mss = uint16(1500 - tunnel - ip - 20)
				}
				assert.Equal(t, want.frame(t), r.frame)
			})
		}
		t.Run("to whom nobody knows", func(t *testing.T) {
			stray := packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 50000, syn: true, ack: true}
			r := w.worker(t, services.ModeDSR, broken(FaultNoReplyRewrite)).send(t, FromPod, stray.frame(t))
			assert.EqualValues(t, actShot, r.action)
			assert.Equal(t, only("leak"), r.reasons)
		})
	})
}

// All goes as with SNAT, there and back; the tables still say DSR.
func TestFaultSNAT(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for hook, action := range hooks() {
			t.Run(string(hook), func(t *testing.T) {
				d, worker := w.lb(t, services.ModeDSR, broken(FaultSNAT)), w.worker(t, services.ModeDSR, broken(FaultSNAT))
				r := d.send(t, hook, w.syn(portOther).frame(t))
				assert.EqualValues(t, action, r.action)
				assert.Equal(t, only("to-overlay-snat"), r.reasons)
				outer := dissect(t, r.frame)
				checkOuter(t, w, outer, nil)
				assert.Equal(t, [2]netip.Addr{w.lbNode, w.pod}, outer.inner.addresses())

				in := worker.send(t, FromNetwork, r.frame)
				assert.Equal(t, only("from-overlay"), in.reasons)
				port := dissect(t, in.frame).ports()[0]
				answer := packetSpec{src: w.pod, dst: w.lbNode, sport: 90, dport: port, syn: true, ack: true, mss: 1460}
				assert.Equal(t, only("not-ours"), worker.send(t, FromPod, answer.frame(t)).reasons)
				r = d.send(t, FromNetwork, answer.frame(t))
				assert.Equal(t, only("reply-from-snat"), r.reasons)
				back := dissect(t, r.frame)
				assert.Equal(t, [2]netip.Addr{w.vip, w.client}, back.addresses())
				assert.Equal(t, [2]uint16{portOther, 40000}, back.ports())

				listed, err := d.List()
				require.NoError(t, err)
				require.NotEmpty(t, listed)
				for _, l := range listed {
					assert.Equal(t, "dsr", l.Mode, l.Service)
				}
			})
		}
	})
}
