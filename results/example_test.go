package results_test

import (
	"fmt"
	"os"

	"github.com/dsrlab/dsrlab/results"
)

// A lab creates a run, adds samples and events as they come, says how each expectation went, and closes the run.
func ExampleRecorder() {
	dir, err := os.MkdirTemp("", "runs")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	recorder, err := results.Create(results.Config{
		Dir: dir,
		Manifest: results.Manifest{
			Lab: "02-throughput", Substrate: "netns", Variants: []string{"none", "dsr"}, Repetitions: 3, Seed: 1,
			Claims: []string{"THR-2"},
			Expectations: []results.Expectation{
				{ID: "dsr-full", Text: "dsr reaches 0.99 of the path without a load balancer", Claims: []string{"THR-2"}, Variant: "dsr"},
			},
			Topology: results.TopologyRef{Name: "talk", Hash: "…", Document: "…"},
		},
	})
	if err != nil {
		panic(err)
	}
	_ = recorder.Describe("qdiscs", map[string]any{"lb": "100mbit, 64kb"})
	_ = recorder.AddEvent(results.EventStep, "download", nil)

	// Variants are interleaved: all of one repetition, then all of the next.
	var samples []results.Sample
	for repetition := range 3 {
		for variant, payloadRate := range map[string]float64{"none": 941e6, "dsr": 940e6} {
			sample := results.Sample{Variant: variant, Repetition: repetition, Metric: "payload_rate", Unit: "bit/s", Value: payloadRate}
			if repetition == 1 {
				sample.Invalid = "the CPU was saturated"
			}
			if err := recorder.AddSample(sample); err != nil {
				panic(err)
			}
			samples = append(samples, sample)
		}
	}

	ratio, err := results.PairedRatio(samples, 1, "payload_rate", nil, "dsr", "none")
	switch {
	case err != nil:
		err = recorder.Expect("dsr-full", results.NotRun, err.Error())
	case ratio.Value >= 0.99:
		err = recorder.Expect("dsr-full", results.Held, fmt.Sprintf("dsr/none is %.3f over %d pairs", ratio.Value, ratio.N))
	default:
		err = recorder.Expect("dsr-full", results.Broken, fmt.Sprintf("dsr/none is only %.3f", ratio.Value))
	}
	if err != nil {
		panic(err)
	}

	summary, err := recorder.Close(results.Passed, "")
	if err != nil {
		panic(err)
	}
	fmt.Println(summary.Result, summary.Result.ExitCode())
	fmt.Println(summary.Claims[0].ID, summary.Claims[0].Verdict+":", summary.Claims[0].Evidence)
	dsr, _ := summary.Find("dsr", "payload_rate", nil)
	fmt.Printf("%d of %d samples, median %.0f\n", dsr.Valid, dsr.N, *dsr.Median)
	// Output:
	// passed 0
	// THR-2 reproduced: dsr/none is 0.999 over 2 pairs
	// 2 of 3 samples, median 940000000
}
