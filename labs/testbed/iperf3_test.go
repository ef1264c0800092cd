package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

const (
	// bulkPort and iperf3Port are those of the pod's servers, each behind a port of the VIP with the same number.
	bulkPort   = 5201
	iperf3Port = 5202
	// segmentSize is what a TCP segment carries of an Ethernet frame: 1500 bytes without the headers of IPv4 and TCP and its timestamps.
	segmentSize = 1448
	// policedBurst holds two full frames, and a window of TCP has more.
	policedBurst = 3100
)

// download is what a tool says of one.
type download struct {
	// rate is what the receiver got, in bit/s.
	rate float64
	// retransmitted is the part of the sender's payload that it had sent before.
	retransmitted float64
}

// downloads are those of one tool through a port with one limit.
type downloads []download

// figures are the rates and the retransmitted parts.
func (d downloads) figures() (rates, retransmitted []float64) {
	for _, one := range d {
		rates, retransmitted = append(rates, one.rate), append(retransmitted, one.retransmitted)
	}
	return rates, retransmitted
}

// median is that of each figure.
func (d downloads) median() download {
	rates, retransmitted := d.figures()
	return download{stats.Median(rates), stats.Median(retransmitted)}
}

// spread is the standard deviation of the rates.
func (d downloads) spread() float64 {
	rates, _ := d.figures()
	return stats.StdDev(rates)
}

// TestIperf3Agrees: an unmodified iperf3 and this project's bulk transfer see the same of an LB node's port that queues what exceeds its
// rate, and of one that drops it. They take turns on one testbed. The port has 100 Mbit/s, which any machine carries.
func TestIperf3Agrees(t *testing.T) {
	labtest.RequirePrograms(t, "iperf3")
	tb := upWith(t, "talk", func(topology *topologies.Topology) {
		ports := &topology.Spec.Services[0].Spec.Ports
		*ports = append(*ports, corev1.ServicePort{Name: "iperf3", Protocol: corev1.ProtocolTCP, Port: iperf3Port, TargetPort: intstr.FromInt32(iperf3Port)})
	})
	pod := tb.plan.Pods[0].Name
	_, err := tb.network.Start(t.Context(), pod, netns.Process{Name: "iperf3", Argv: []string{"iperf3", "-s", "-p", fmt.Sprint(iperf3Port)}})
	require.NoError(t, err)
	servers, err := workload.Start(t.Context(), tb.Enter(pod), nil,
		workload.ServerSpec{Kind: workload.KindBulk, Listen: netip.AddrPortFrom(netip.Addr{}, bulkPort)})
	require.NoError(t, err)
	t.Cleanup(func() { servers.Close() })
	waitListening(t, tb, pod, iperf3Port)
	for _, v := range []Variant{
		{Name: "kube-proxy", DataPath: DataPathKubeProxy},
		{Name: "snat", DataPath: DataPathDSRLab, Mode: services.ModeSNAT},
	} {
		t.Run(v.Name, func(t *testing.T) {
			require.NoError(t, tb.Install(t.Context(), v))
			checkAgreement(t, tb, v)
		})
	}
}

// checkAgreement lets both tools download through the LB node's port, shaped and policed in turns.
func checkAgreement(t *testing.T, tb *Testbed, v Variant) {
	const turns = 3
	tools := []struct {
		name string // and that of its port
		run  func(*testing.T, *Testbed, netip.AddrPort) download
	}{{"iperf3", downloadByIperf3}, {"bulk", downloadByBulk}}
	found := map[string]map[topologies.Limit]downloads{"iperf3": {}, "bulk": {}}
	for range turns {
		for _, limit := range []topologies.Limit{topologies.LimitShape, topologies.LimitPolice} {
			limitLBPort(t, tb, limit)
			for _, tool := range tools {
				to, err := tb.Target(Target{Service: "tcp-echo", Port: tool.name}, v)
				require.NoError(t, err)
				d := tool.run(t, tb, to)
				t.Logf("%s, %s: %.1f Mbit/s, %.2f retransmitted", tool.name, limit, d.rate/1e6, d.retransmitted)
				found[tool.name][limit] = append(found[tool.name][limit], d)
			}
		}
	}
	rate := lbPort(t, tb).ToNode.Rate
	for name, by := range found {
		shaped, policed := by[topologies.LimitShape].median(), by[topologies.LimitPolice].median()
		// TCP can have 1448 of the 1538 bytes that a frame takes of the wire, 0.941, and acknowledgements take 3 to 4 % of that. The begin
		// of a transfer, and a queue that is not filled at once, cost some of it; other programs on the processors may cost more, but
		// not what a policer does.
		assert.Greater(t, shaped.rate, 0.40*float64(rate), "%s, shaped", name)
		assert.Less(t, shaped.rate, 0.96*float64(rate), "%s, shaped", name)
		// A bucket of two frames loses some of every window of three or more; what is lost at a window's end waits 200 ms for a timer.
		assert.LessOrEqual(t, policed.rate, 0.25*shaped.rate, "%s, policed", name)
		assert.GreaterOrEqual(t, policed.retransmitted, 0.05, "%s, policed", name)
	}
	// Where programs of others take the processors, repetitions of one tool differ as well.
	byIperf3, byBulk := found["iperf3"][topologies.LimitShape], found["bulk"][topologies.LimitShape]
	room := 0.10*byBulk.median().rate + 2*max(byIperf3.spread(), byBulk.spread())
	assert.InDelta(t, byBulk.median().rate, byIperf3.median().rate, room, "both tools have the same of a shaped port")
}

// lbPort is the LB node with its link as the topology has it.
func lbPort(t *testing.T, tb *Testbed) topologies.Node {
	t.Helper()
	for _, n := range tb.plan.Nodes {
		if n.Name == "lb" {
			return n
		}
	}
	require.Fail(t, "no LB node")
	return topologies.Node{}
}

// limitLBPort has the LB node's port queue or drop what exceeds its rate, in both directions.
func limitLBPort(t *testing.T, tb *Testbed, limit topologies.Limit) {
	t.Helper()
	n := lbPort(t, tb)
	toNode, fromNode := n.ToNode, n.FromNode
	if limit == topologies.LimitPolice {
		for _, shape := range []*topologies.Shape{&toNode, &fromNode} {
			shape.Limit, shape.Burst, shape.Queue = topologies.LimitPolice, policedBurst, 0
		}
	}
	require.NoError(t, tb.Network().Reshape(n.Name, toNode, fromNode))
}

// downloadTime is long enough for some retransmission timers, and for many round trips through a full queue.
const downloadTime = time.Second

func downloadByBulk(t *testing.T, tb *Testbed, to netip.AddrPort) download {
	t.Helper()
	report, err := workload.Bulk(t.Context(), workload.BulkOptions{
		Dialer: workload.Dialer{Enter: tb.Enter("client")}, Target: to, Direction: workload.Download, Duration: downloadTime,
		Timeout: 10 * time.Second, // a SYN that the policer drops is sent again after a second
	})
	require.NoError(t, err)
	return download{report.Download.PayloadRate, report.Download.Retransmitted()}
}

func downloadByIperf3(t *testing.T, tb *Testbed, to netip.AddrPort) download {
	t.Helper()
	var report struct {
		End struct {
			Sent struct {
				Retransmits float64 `json:"retransmits"`
			} `json:"sum_sent"`
			Received struct {
				Rate  float64 `json:"bits_per_second"`
				Bytes float64 `json:"bytes"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	argv := []string{"iperf3", "-J", "-R", "-t", fmt.Sprint(downloadTime.Seconds()), "-c", to.Addr().String(), "-p", fmt.Sprint(to.Port())}
	var out bytes.Buffer
	var err error
	require.Eventually(t, func() bool { // the server takes the next client when the end of the last one has reached it
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		out.Reset()
		err = tb.network.Run(ctx, "client", argv, netns.Streams{Out: &out, Err: &out})
		return err == nil || !strings.Contains(out.String(), "busy")
	}, time.Minute, 100*time.Millisecond)
	require.NoError(t, err, out.String())
	require.NoError(t, json.Unmarshal(out.Bytes(), &report), out.String())
	// iperf3 counts as sent what still waits in the socket, which is more than a collapsed connection carries: what arrived was sent, and
	// what was sent again was lost.
	again := report.End.Sent.Retransmits * segmentSize
	return download{report.End.Received.Rate, again / (report.End.Received.Bytes + again)}
}
