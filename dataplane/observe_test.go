package dataplane

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// TestObserve: what the programs report of packets is what Events, Trace and ServiceCounters say.
func TestObserve(t *testing.T) {
	w := worlds()[0]
	d := w.lb(t, services.ModeDSR)
	ack := w.syn(portEcho)
	ack.syn, ack.ack = false, true
	frontend := netip.AddrPortFrom(w.vip, portEcho)
	first := Event{
		Point: FromNetwork, Reason: bpf.DatapathReasonREASON_TO_OVERLAY_DSR, Service: "default/echo:TCP-" + frontend.String() + "/TCP",
		Protocol: "TCP", Source: netip.AddrPortFrom(w.client, 40000), Destination: frontend, Frontend: frontend,
		Backend: netip.AddrPortFrom(w.pod, 8080), Node: w.podTunnel, TCPFlags: 2, Option: true, Begins: true, DSR: true,
	}

	t.Run("events", func(t *testing.T) {
		syn := w.syn(portEcho).frame(t)
		d.send(t, FromNetwork, syn)
		d.send(t, FromNetwork, ack.frame(t))
		d.send(t, FromNetwork, w.syn(1).frame(t))
		events := readEvents(t, newReader(t, d))
		require.Len(t, events, 2, "the segment in the middle is not reported")
		assert.WithinDuration(t, time.Now(), events[0].Time, time.Minute)
		want := first
		want.Time, want.Number, want.Bytes = events[0].Time, events[0].Number, uint32(len(syn))
		assert.NotZero(t, want.Number)
		assert.Equal(t, want, events[0])
		assert.Equal(t, bpf.DatapathReasonREASON_DROP_NO_FRONTEND, events[1].Reason)
		assert.Empty(t, events[1].Service)
	})

	t.Run("counters", func(t *testing.T) {
		counters, err := d.ServiceCounters()
		require.NoError(t, err)
		for _, c := range counters {
			if c.Service == first.Service {
				assert.EqualValues(t, 2, c.Requests.Packets)
				assert.EqualValues(t, 1, c.Flows)
				return
			}
		}
		assert.Fail(t, "the service has no counters")
	})

	t.Run("trace", func(t *testing.T) {
		other := w.syn(portEcho)
		other.src = w.other
		datagram := w.syn(portEcho)
		datagram.udp, datagram.syn = true, false
		frame := ack.frame(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var hops []Hop
		require.NoError(t, d.Trace(ctx, TraceFilter{Client: w.client, Protocol: services.TCP, Ready: func() {
			d.send(t, FromNetwork, other.frame(t))
			d.send(t, FromNetwork, datagram.frame(t))
			d.send(t, FromNetwork, frame)
		}}, func(h Hop) error {
			hops = append(hops, h)
			cancel()
			return nil
		}))
		require.Len(t, hops, 1, "neither the other client nor another protocol is traced, and the packet in the middle of the flow is")
		hop := hops[0]
		assert.Equal(t, frame, hop.Before)
		assert.Equal(t, len(frame), hop.LengthBefore)
		assert.Equal(t, hop.LengthAfter, len(hop.After))
		outer := dissect(t, hop.After)
		assert.Equal(t, [2]netip.Addr{w.lbTunnel, w.podTunnel}, outer.addresses())
		assert.Equal(t, first.Backend, hop.Backend)

		d.send(t, FromNetwork, frame)
		ended, end := context.WithCancel(t.Context())
		require.NoError(t, d.Trace(ended, TraceFilter{Client: w.other, Ready: end}, func(Hop) error { return assert.AnError }))
	})
}
