package steps

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/arrival"
	"github.com/dsrlab/dsrlab/labs/workload/inference"
	"github.com/dsrlab/dsrlab/topologies"
)

func TestInferShape(t *testing.T) {
	plain, err := (&InferStep{Shape: "image"}).shape()
	require.NoError(t, err)
	assert.Equal(t, inference.Range{Min: 1e6, Max: 10e6}, plain.Response)
	scaled, err := (&InferStep{Shape: "image", Scale: 0.05}).shape()
	require.NoError(t, err)
	assert.Equal(t, inference.Exactly(50), scaled.Request)
	assert.Equal(t, inference.Range{Min: 50_000, Max: 500_000}, scaled.Response)
	fast, err := (&InferStep{Shape: "llm", TokenRate: 2000}).shape()
	require.NoError(t, err)
	assert.InDelta(t, 2000, fast.TokenRate, 0)
	assert.Equal(t, inference.Range{Min: 10_000, Max: 100_000}, fast.Response, "sizes stay")
}

func TestInferProcess(t *testing.T) {
	for _, test := range []struct {
		name string
		step InferStep
		want arrival.Process
	}{
		{"open", InferStep{Rate: 2, Count: 8}, arrival.Process{Loop: arrival.Open, Rate: 2, Count: 8, Seed: 7}},
		{"closed", InferStep{Workers: 4, Count: 8, Time: Duration(time.Second)},
			arrival.Process{Loop: arrival.Closed, Workers: 4, Count: 8, Duration: time.Second, Seed: 7}},
		{"closed, for each pod", InferStep{WorkersPerPod: 2, Count: 8}, arrival.Process{Loop: arrival.Closed, Workers: 6, Count: 8, Seed: 7}},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, test.step.process(3, 7)) })
	}
}

func TestPatience(t *testing.T) {
	shape := inference.Shape{Request: inference.Exactly(0), Response: inference.Range{Min: 1, Max: 10e6}}
	plan := &topologies.Plan{Nodes: []topologies.Node{
		{FromNode: topologies.Shape{Rate: 500e6}}, {ToNode: topologies.Shape{Rate: 100e6}, FromNode: topologies.Shape{Rate: 200e6}},
	}}
	closed, open := arrival.Process{Loop: arrival.Closed, Workers: 5, Count: 100}, arrival.Process{Loop: arrival.Open, Rate: 2, Count: 10}
	assert.Equal(t, inference.DefaultTimeout+4*time.Second, patience(plan, shape, closed), "five of 80 Mbit on 100 Mbit/s")
	assert.Equal(t, inference.DefaultTimeout+8*time.Second, patience(plan, shape, open))
	open.Count, open.Duration = 0, 10*time.Second
	assert.Equal(t, inference.DefaultTimeout+16*time.Second, patience(plan, shape, open))
	assert.Equal(t, inference.DefaultTimeout, patience(&topologies.Plan{}, shape, closed), "nothing is limited")
}

func TestOffPace(t *testing.T) {
	stream := func(paces ...time.Duration) *inference.Report {
		r := &inference.Report{Shape: inference.Shape{TokenRate: 100}, TPOT: arrival.Latency{Count: len(paces)}}
		for _, pace := range paces {
			r.Samples = append(r.Samples, inference.Sample{Outcome: workload.OutcomeOK, Pace: pace})
		}
		return r
	}
	late := &inference.Report{Process: arrival.Process{Loop: arrival.Open, Rate: 2}, Arrival: arrival.Report{MaxLag: 150 * time.Millisecond}}
	onTime := &inference.Report{Process: arrival.Process{Loop: arrival.Open, Rate: 2}, Arrival: arrival.Report{MaxLag: 50 * time.Millisecond}}
	for name, test := range map[string]struct {
		report *inference.Report
		want   string
	}{
		"no stream":        {&inference.Report{}, ""},
		"as asked":         {stream(10 * time.Millisecond), ""},
		"late, within":     {stream(10100 * time.Microsecond), ""},
		"late":             {stream(10300 * time.Microsecond), "the model made its tokens at a pace that was off by 3.0 %"},
		"one of three":     {stream(10*time.Millisecond, 10*time.Millisecond, 20*time.Millisecond), ""},
		"untold":           {stream(0), "the model did not report the pace of its tokens"},
		"arrivals on time": {onTime, ""},
		"arrivals late":    {late, "a client began 150 ms late, where one arrives each 500 ms"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, describePaceMissed(test.report)) })
	}
}
