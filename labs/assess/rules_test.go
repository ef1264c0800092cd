package assess

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A prober that answers no SYNs by hand has only connections to go by.
func TestDiagnoseByConnectionsAlone(t *testing.T) {
	for _, cause := range faults() {
		o := fabric{cause: true}.observe()
		o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Solicited })
		assert.Equal(t, []Cause{cause}, found(Diagnose(o)))
	}
}

// A firewall that sees both directions harms nobody, though it drops SYN-ACKs that nobody asked for.
func TestDiagnoseFirewallThatSeesBothDirections(t *testing.T) {
	unasked := func(o *Observations) {
		for i := range o.Spoof {
			if p := &o.Spoof[i]; p.Protocol == SYNACK && !p.Solicited {
				p.Arrived, p.Errors = 0, nil
			}
		}
	}
	o := fabric{}.observe()
	unasked(&o)
	assert.Equal(t, Works, Diagnose(o).Verdict)

	o.WayBack = nil
	o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Solicited || p.TTL > 0 })
	r := Diagnose(o)
	require.Len(t, r.Findings, 1, "without connections that is not known")
	assert.False(t, r.Findings[0].Certain)
	assert.Equal(t, []Cause{StatefulFirewall}, r.Findings[0].Causes)
	assert.Equal(t, NotKnown, r.Verdict)
}

// A firewall that saw the SYN but no SYN-ACK forgets the connection during a pause.
func TestDiagnosePause(t *testing.T) {
	cut := func(symmetric bool) Observations {
		o := fabric{}.observe()
		for i := range o.WayBack {
			if p := &o.WayBack[i]; symmetric || p.Entry != p.Answer {
				p.DataAfter, p.AnswersAfter = 0, 0
			}
		}
		return o
	}
	r := Diagnose(cut(false))
	require.Len(t, r.Findings, 1)
	assert.Equal(t, []Cause{StatefulFirewall}, r.Findings[0].Causes)
	assert.Equal(t, HurtsIdle, r.Findings[0].Hurts)
	assert.True(t, r.Findings[0].Certain)
	assert.Contains(t, r.Findings[0].Evidence, Evidence{Node: "a → b", What: "the client's data after a pause of 1m0s", Sent: 5, Seen: 0})

	assert.Equal(t, Works, Diagnose(cut(true)).Verdict, "it is the same without DSR")
}

// Many devices receive a VLAN tag more than their MTU.
func TestDiagnoseMixedMTUsOfDevicesWithRoomForATag(t *testing.T) {
	o := fabric{MTUMixed: true}.observe()
	for _, p := range o.Tunnel {
		if p.From == "a" && p.Size == 1500 {
			p.Size = 1504
			o.Tunnel = append(o.Tunnel, p)
			p.Size, p.Arrived = 1505, 0
			o.Tunnel = append(o.Tunnel, p)
		}
	}
	assert.Equal(t, []Cause{MTUMixed}, found(Diagnose(o)))
}

func TestEvidenceText(t *testing.T) {
	assert.Equal(t, "a: UDP: 3 sent, 0 arrived; all left", Evidence{Node: "a", What: "UDP", Sent: 3, Note: "all left"}.String())
	assert.Equal(t, "a: a rule drops it; it matters", Evidence{Node: "a", What: "a rule drops it", Note: "it matters"}.String(), "a fact has no packets")
}

func TestWhereNamesTheFirstPlaces(t *testing.T) {
	f := Finding{Nodes: []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}}
	assert.Equal(t, "a, b, c, d, e, f, g, h, i", f.Where())
	f.Pairs = []Pair{{"a", "b"}}
	assert.Equal(t, "a, b, c, d, e, f, g, h, and 2 more", f.Where())
}

// A translator at the client's own end shows in all calls, and sees both directions.
func TestDiagnoseClientBehindNAT(t *testing.T) {
	o := fabric{}.observe()
	for i := range o.WayIn {
		for k := range o.WayIn[i].Seen {
			if o.WayIn[i].Source.Is4() {
				o.WayIn[i].Seen[k].Source = addressesOf(ipv4).public
			}
		}
	}
	assert.Equal(t, Works, Diagnose(o).Verdict)
	o.WayIn = slices.DeleteFunc(o.WayIn, func(p WayInProbe) bool { return p.Frontend.Kind == NodeAddress })
	r := Diagnose(o)
	require.Len(t, r.Findings, 1)
	assert.False(t, r.Findings[0].Certain, "it may be the client's own, or one in front of the VIP")
}

// What lets SYN-ACKs out that nobody asked for drops no invalid ones, whatever rules it has.
func TestDiagnoseConnectionsLostBehindTheNode(t *testing.T) {
	o := fabric{}.observe()
	for i := range o.WayBack {
		if p := &o.WayBack[i]; p.Entry != p.Answer {
			p.SYNACKs, p.ACKs, p.DataBefore, p.DataAfter, p.AnswersAfter = 0, 0, 0, 0, 0
		}
	}
	o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Solicited })
	for i := range o.Nodes {
		*o.Nodes[i].DropsInvalid = true
	}
	assert.Contains(t, found(Diagnose(o)), StatefulFirewall)
	assert.NotContains(t, found(Diagnose(o)), Cause("stateful-firewall or conntrack-invalid"))
}

// A translator in front of some nodes is not the client's own.
func TestDiagnoseTranslatorBeforeOneNode(t *testing.T) {
	o := fabric{}.observe()
	other := o.WayIn[1]
	other.Frontend.Node, other.Frontend.Address = "c", netip.AddrPortFrom(addressesOf(ipv4).nodes["c"].Addr(), 30080)
	other.Seen = []Sighting{{Node: "c", Source: netip.MustParseAddr(router), Destination: other.Frontend.Address, Count: packets}}
	o.WayIn = append(o.WayIn, other)
	assert.Equal(t, []Cause{SNATOnTheWay}, found(Diagnose(o)))
}

// Where nothing is delivered it is not the source that matters.
func TestDiagnoseNothingDelivered(t *testing.T) {
	o := fabric{RPFilter: true}.observe()
	for i := range o.Direct {
		if !o.Direct[i].Foreign {
			o.Direct[i].Delivered = number(0)
		}
	}
	assert.Empty(t, found(Diagnose(o)))
}

// Where nodes are both LB and pod nodes, a firewall at each node's port passes the SYN-ACKs of the node that was called. An observer that
// counts them among the solicited replies sees most of these arrive.
func TestDiagnoseFirewallAtEachPort(t *testing.T) {
	o := fabric{StatefulFirewall: true}.observe()
	for i := range o.Spoof {
		if p := &o.Spoof[i]; p.Solicited {
			p.Sent, p.Arrived = 12, 8
		}
	}
	r := Diagnose(o)
	assert.Equal(t, []Cause{StatefulFirewall}, found(r))
	require.NotEmpty(t, r.Findings)
	assert.True(t, r.Findings[0].Certain)
	assert.Equal(t, []string{"a", "b", "c"}, r.Findings[0].Nodes)
}
