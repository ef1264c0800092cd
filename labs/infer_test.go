package labs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload/arrival"
	"github.com/dsrlab/dsrlab/labs/workload/inference"
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
