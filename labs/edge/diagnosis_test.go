package edge

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/labs/testbed"
)

func TestDiagnose(t *testing.T) {
	assert.Empty(t, Diagnose(Observed{Client: "client", Calls: 40, Resets: 3, SpoofDrops: map[string]uint64{"worker-1": 0}}))
	o := Observed{
		Client: "client", Calls: 40, SpoofDrops: map[string]uint64{"worker-2": 7, "lb-1": 0, "worker-1": 5},
		WrongSource: 60, Resets: 20, Called: echoVIP, Answered: netip.MustParseAddrPort("192.168.2.11:31000"),
	}
	spoofed := []Failure{
		{"fabric port of worker-1", "spoof_drops", 5, "spoof protection dropped 5 packets from worker-1 whose source is neither the node's nor its pods'"},
		{"fabric port of worker-2", "spoof_drops", 7, "spoof protection dropped 7 packets from worker-2 whose source is neither the node's nor its pods'"},
	}
	const wrong = "60 answers came from 192.168.2.11:31000, but client had called 185.150.8.128:8080 and refused them (20 resets)"
	assert.Equal(t, append(spoofed, Failure{"client", "answers_from_wrong_source", 60, wrong}), Diagnose(o))
	o.Edge, o.EdgeNode, o.SpoofDrops = testbed.EdgeStateful, "edge", nil
	assert.Equal(t, []Failure{{
		"client", "answers_from_wrong_source", 60, wrong + ": they went past edge, which alone could have translated them back",
	}}, Diagnose(o))
}
