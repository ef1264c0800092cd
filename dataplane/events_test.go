package dataplane

import (
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
)

// testEvent is one in which everything is set.
func testEvent() (bpf.DatapathEvent, Event) {
	at := func(text string) (bpf.DatapathAddress, uint16) {
		a := netip.MustParseAddrPort(text)
		return bpf.WireAddress(a.Addr()), bpf.Port16(a.Port())
	}
	e := bpf.DatapathEvent{
		Time: uint64(time.Second), Bytes: 74, Reason: uint32(bpf.DatapathReasonREASON_TO_OVERLAY_DSR), Service: 1, TcpFlags: 0x12,
		Point: uint8(bpf.DatapathPointPOINT_FROM_NETWORK_XDP), Mode: uint8(bpf.DatapathModeMODE_DSR),
		Flags: uint8(bpf.DatapathEventFlagsEVENT_OPTION | bpf.DatapathEventFlagsEVENT_BEGINS), Node: bpf.WireAddress(servicestest.NodeAddr(1)),
	}
	e.Tuple.Protocol = 6
	e.Tuple.Source, e.Tuple.SourcePort = at("203.0.113.1:40000")
	e.Tuple.Destination, e.Tuple.DestinationPort = at("198.18.0.0:80")
	e.Frontend, e.FrontendPort = at("198.18.0.0:80")
	e.Backend, e.BackendPort = at("10.1.0.0:8080")
	return e, Event{
		Time: time.Unix(1, 0), Point: FromNetworkXDP, Reason: bpf.DatapathReasonREASON_TO_OVERLAY_DSR, Service: "default/s00000:http/TCP", Number: 1,
		Protocol: "TCP", Source: netip.MustParseAddrPort("203.0.113.1:40000"), Destination: netip.MustParseAddrPort("198.18.0.0:80"),
		Frontend: netip.MustParseAddrPort("198.18.0.0:80"), Backend: netip.MustParseAddrPort("10.1.0.0:8080"), Node: servicestest.NodeAddr(1),
		TCPFlags: 0x12, Option: true, Begins: true, DSR: true, Bytes: 74,
	}
}

func TestEvent(t *testing.T) {
	d := newMaps(t, fewEntries)
	_, err := d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Many(1, 1)})
	require.NoError(t, err)
	r, err := d.newEventDecoder()
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), r.boot.Add(monotonic(t)), time.Minute)
	r.boot = time.Unix(0, 0)

	e, want := testEvent()
	raw, err := binary.Append(nil, binary.NativeEndian, e)
	require.NoError(t, err)
	require.Len(t, raw, 120)
	var back bpf.DatapathEvent
	require.NoError(t, decode(raw, &back))
	assert.Equal(t, want, r.event(&back))
	assert.Equal(t, "SYN, ACK", want.TCPFlags.String())
	assert.ErrorContains(t, decode(raw[:50], &back), "decode event of 50 bytes: ")

	got := r.event(&bpf.DatapathEvent{Service: 9, Point: 77})
	assert.Empty(t, got.Service, "there is no such service")
	assert.EqualValues(t, "point-77", got.Point)
	assert.False(t, got.Frontend.IsValid())
	for point, name := range map[bpf.DatapathPoint]Direction{
		bpf.DatapathPointPOINT_FROM_NETWORK: FromNetwork, bpf.DatapathPointPOINT_FROM_POD: FromPod, bpf.DatapathPointPOINT_FROM_NODE: FromNode,
	} {
		assert.Equal(t, name, r.event(&bpf.DatapathEvent{Point: uint8(point)}).Point)
	}
}

// TestPointsAreNamed: every value of the C enum has a name, and it is the program's.
func TestPointsAreNamed(t *testing.T) {
	r, err := newMaps(t, fewEntries).newEventDecoder()
	require.NoError(t, err)
	spec, err := bpf.LoadDatapath()
	require.NoError(t, err)
	require.Len(t, r.points, len(spec.Programs))
	for _, point := range r.points {
		assert.Contains(t, spec.Programs, string(point))
	}
}

func TestHop(t *testing.T) {
	r := &eventDecoder{boot: time.Unix(0, 0), names: map[uint32]string{1: "default/s00000:http/TCP"}, points: []Direction{FromNetwork, FromNetworkXDP}}
	e, want := testEvent()
	h := bpf.DatapathHop{Event: e, LengthBefore: 4, LengthAfter: 1500}
	h.Before, h.After = [192]uint8{1, 2, 3, 4, 5}, [192]uint8{191: 9}
	got := r.hop(&h)
	assert.Equal(t, want, got.Event)
	assert.Equal(t, []byte{1, 2, 3, 4}, got.Before)
	assert.Len(t, got.After, 192)
	assert.Equal(t, 1500, got.LengthAfter)
}

// TestTraceFilter: the filter is in force while Trace runs, however long, and no longer.
func TestTraceFilter(t *testing.T) {
	d := newMaps(t, fewEntries)
	filter := func() (f bpf.DatapathTraceFilter) {
		require.NoError(t, d.objects.Tracing.Lookup(uint32(0), &f))
		return f
	}
	ctx, cancel := context.WithCancel(t.Context())
	client := netip.MustParseAddr("203.0.113.1")
	called := false
	err := d.Trace(ctx, TraceFilter{Client: client, Port: 40000, Protocol: 6, Ready: func() {
		called = true
		set := filter()
		assert.Greater(t, time.Duration(set.Until), monotonic(t))
		assert.Equal(t, bpf.DatapathTraceFilter{Client: bpf.WireAddress(client), Port: bpf.Port16(40000), Protocol: 6, Until: set.Until}, set)
		assert.Eventually(t, func() bool { return filter().Until > set.Until }, time.Minute, 10*time.Millisecond, "it is renewed")
		cancel()
	}}, func(Hop) error { return nil })
	require.NoError(t, err)
	assert.True(t, called)
	assert.Zero(t, filter())
	assert.EqualError(t, d.Trace(ctx, TraceFilter{}, nil), "trace: client invalid IP: must be an IPv4 or IPv6 address")
}

// monotonic is the time since boot, as events have it.
func monotonic(t *testing.T) time.Duration {
	t.Helper()
	r, err := (&DataPath{}).newEventDecoder()
	require.NoError(t, err)
	return time.Since(r.boot)
}
