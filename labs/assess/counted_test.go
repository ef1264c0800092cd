package assess

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// withCountersOf are observations with the counters that a profile's prediction has.
func withCountersOf(p Profile) Observations {
	o := fabric{}.observe()
	o.Profile = &p
	for _, port := range Predict(o).Ports {
		const seconds = 60
		o.Counters = append(o.Counters, Counters{
			Node: port.Node, Interval: metav1.Duration{Duration: seconds * time.Second},
			BytesIn: uint64(seconds * port.Now.BytesIn), BytesOut: uint64(seconds * port.Now.BytesOut),
			PacketsIn: uint64(seconds * port.Now.PacketsIn), PacketsOut: uint64(seconds * port.Now.PacketsOut),
		})
	}
	return o
}

// A profile made from the counters that another one predicts is that profile.
func TestCountedProfile(t *testing.T) {
	o := withCountersOf(Profile{Requests: 1000, RequestBytes: 400, ReplyBytes: 20e3})
	p := CountedProfile(o)
	require.NotNil(t, p)
	assert.InEpsilon(t, 1000, p.Requests, 0.01)
	assert.InEpsilon(t, 400, p.RequestBytes, 0.01)
	assert.InEpsilon(t, 20e3, p.ReplyBytes, 0.01)
	o.Counters = o.Counters[1:]
	assert.Nil(t, CountedProfile(o), "a node was not counted")
}

// Of a cluster of which a part was probed, the others are taken to carry as much: twice the requests, of which more cross.
func TestCountedProfileOfPart(t *testing.T) {
	o := withCountersOf(Profile{Requests: 1000, RequestBytes: 400, ReplyBytes: 20e3})
	all := gainOf(o)
	require.NotNil(t, all)
	part := Observations{Nodes: o.Nodes[:1], Counters: o.Counters[:1], Profile: o.Profile}
	for _, n := range o.Nodes[1:] {
		part.OtherNodes = append(part.OtherNodes, n.Name)
	}
	part.Counters[0].Node = part.Nodes[0].Name
	g := gainOf(part)
	require.NotNil(t, g)
	assert.Equal(t, []int{1, 3}, []int{g.Nodes, g.OfNodes})
	assert.Equal(t, all.Crossing, g.Crossing)
	entry, _ := part.Shares()
	assert.Len(t, entry, 1)
	assert.InDelta(t, 1.0/3, entry[part.Nodes[0].Name], 1e-9)
	part.Profile = &Profile{Requests: 1, RequestBytes: 1, ReplyBytes: 1, Entry: map[string]float64{part.OtherNodes[0]: 3, part.Nodes[0].Name: 1}}
	require.NoError(t, part.check(), "an entry that was not probed is a node")
	entry, _ = part.Shares()
	assert.InDelta(t, 0.25, entry[part.Nodes[0].Name], 1e-9)
	p := Predict(part)
	assert.Len(t, p.Ports, 1)
	assert.Nil(t, p.Now, "the other entry's port may be full first")
	part.OtherNodes = append(part.OtherNodes, part.Nodes[0].Name)
	assert.ErrorContains(t, part.check(), "otherNodes[2]: found ")
}

// What a profile made from counters predicts is what they have counted, of replies of few packets, too, and of 1.1 packets on average.
func TestCountedProfilePredictsCounters(t *testing.T) {
	for _, packets := range []float64{1, 1.1, 1.5, 2, 2.3, 3, 3.5, 4, 5, 6.7, 13, 14, 101} {
		o := withCountersOf(Profile{Requests: 1000, RequestBytes: 400, ReplyBytes: 600 * packets, ReplyPackets: packets})
		p := CountedProfile(o)
		require.NotNil(t, p, packets)
		want := Predict(o)
		if packets <= 2 || packets == 4 || packets == 14 {
			assert.InEpsilon(t, packets, p.ReplyPackets, 0.01, "packets of a reply")
			assert.InEpsilon(t, 1000, p.Requests, 0.01, packets)
		}
		o.Profile = p
		for i, port := range Predict(o).Ports {
			for _, loads := range [][2]Load{{want.Ports[i].Now, port.Now}, {want.Ports[i].DSR, port.DSR}} {
				assert.InEpsilon(t, loads[0].BytesIn, loads[1].BytesIn, 0.01, packets)
				assert.InEpsilon(t, loads[0].BytesOut, loads[1].BytesOut, 0.01, packets)
				assert.InEpsilon(t, loads[0].PacketsIn, loads[1].PacketsIn, 0.01, packets)
				assert.InEpsilon(t, loads[0].PacketsOut, loads[1].PacketsOut, 0.01, packets)
			}
		}
	}
}

func TestAcknowledgements(t *testing.T) {
	for segments, want := range map[float64]float64{0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 2, 1.1: 0.1, 2.5: 1, 3.5: 1.5} {
		assert.InDelta(t, want, acknowledgements(segments), 1e-9, segments)
	}
	q, _, _ := Profile{Requests: 1, RequestBytes: 50, ReplyBytes: 50}.frames()
	assert.InDelta(t, 2, q.packets, 1e-9, "the request, and that its reply was read")
	q, r, _ := Profile{Requests: 1, RequestBytes: 12e3, ReplyBytes: 2e3}.frames()
	assert.InDelta(t, 9+1, q.packets, 1e-9, "a reply of two segments is acknowledged once")
	assert.InDelta(t, 2+4, r.packets, 1e-9, "the last segment of nine is acknowledged by the reply")
}

// What was counted of a profile's requests is what is predicted of it.
func TestAcknowledged(t *testing.T) {
	p := Profile{Requests: 10, RequestBytes: 2000, ReplyBytes: 20e3}
	acks := p.Acknowledged(100, 450, 1410)
	assert.InDelta(t, 2.5, acks.Reply, 1e-9, "a request is two segments")
	assert.InDelta(t, 0.1, acks.Request, 1e-9, "a reply is 14 segments")
	p.Acknowledgements = &acks
	q, r, _ := p.frames()
	assert.InDelta(t, 45, q.packets, 1e-9)
	assert.InDelta(t, 141, r.packets, 1e-9)
	assert.InDelta(t, 10*2000+45*headers, q.bytes, 1e-9)
	assert.Equal(t, Acknowledgements{}, p.Acknowledged(100, 190, 1390), "some packets of the last request are still under way")
}
