// Package resultstest fabricates run folders for tests of what reads them. Its numbers come out of a seeded generator and
// were measured nowhere: a fabricated run must never be shown as a result. Its revision says "fabricated".
package resultstest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
)

// Options vary a fabricated run; the zero value gives one that passes.
type Options struct {
	Run string // id (default: made from Start and Lab)
	Lab string // default 02-throughput
	// Substrate (default netns). A run on kind has an expectation of its own, conf-kind, which speaks for CONF-1.
	Substrate string
	Start     time.Time // default 2001-02-03 04:05:06 UTC
	Seed      uint64
	// Scale multiplies the payload rate of dsr (default 1).
	Scale float64
	// Break is the id of an expectation that fails, Skip of one that never runs.
	Break, Skip string
	// Fault is what was broken on purpose in dsr.
	Fault string
	// AllInvalid makes all samples of dsr invalid.
	AllInvalid bool
	// Interrupted ends the run before its last trial.
	Interrupted bool
	// LeaveOpen does not close the run.
	LeaveOpen bool
	// Reported and Reason are given to Close (default passed).
	Reported results.Result
	Reason   string
}

// Repetitions of each variant of a fabricated run.
const Repetitions = 9

// Manifest is that of a fabricated run.
func Manifest(o Options) results.Manifest {
	m := results.Manifest{
		Run: o.Run, Lab: o.Lab, Substrate: o.Substrate, Variants: []string{"none", "kube-proxy", "snat", "dsr"},
		Repetitions: Repetitions, Claims: []string{"THR-1", "THR-2"}, Seed: o.Seed, Started: o.Start,
		Expectations: []results.Expectation{
			{ID: "snat-capped", Text: "with a deep queue snat stays below 96 Mbit/s", Claims: []string{"THR-1"}, Variant: "snat"},
			{ID: "snat-collapses", Text: "with a shallow queue snat falls below 30 Mbit/s", Claims: []string{"THR-1"}, Variant: "snat"},
			{ID: "dsr-full", Text: "dsr reaches 0.99 of the path without a load balancer", Claims: []string{"THR-2"}, Variant: "dsr"},
			{ID: "dsr-bypass", Text: "no byte of a reply passes the LB node's port", Variant: "dsr"},
		},
		Topology: results.TopologyRef{Name: "talk", Hash: "5f3c<fabricated>", Document: "kind: Topology\nmetadata: {name: talk}\n"},
		Revision: results.Revision{Commit: "fabricated"},
	}
	if m.Substrate == "" {
		m.Substrate = "netns"
	}
	if m.Substrate == "kind" {
		m.Claims = append(m.Claims, "CONF-1")
		m.Expectations = append(m.Expectations, results.Expectation{
			ID: "conf-kind", Text: "the cluster shows the pod the client", Claims: []string{"CONF-1"}, Variant: "dsr", Substrate: "kind",
		})
	}
	if o.Fault != "" {
		m.Faults = map[string]string{"dsr": o.Fault}
	}
	if m.Lab == "" {
		m.Lab = "02-throughput"
	}
	if m.Started.IsZero() {
		m.Started = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	}
	if m.Run == "" {
		m.Run = fmt.Sprintf("%s-%s-test%d", m.Started.Format("20060102T150405Z"), m.Lab, o.Seed)
	}
	return m
}

// Create starts a fabricated run in dir, with a clock that ticks a second a look and a machine that does not exist.
func Create(t testing.TB, dir string, o Options) *results.Recorder {
	t.Helper()
	manifest := Manifest(o)
	now, readings := manifest.Started, 0.0
	recorder, err := results.Create(results.Config{
		Dir:      dir,
		Manifest: manifest,
		Now:      func() time.Time { now = now.Add(time.Second); return now },
		Environment: func() results.Environment {
			readings++
			return results.Environment{
				Time: now, Kernel: "6.12.0-fabricated", Distribution: "Testing GNU/Linux", Architecture: "amd64",
				CPUModel: "Imaginary CPU", CPUs: 2, MemoryTotal: 8 << 30, MemoryFree: 6 << 30, Load: []float64{0.5, 0.25, 0.125},
				CPUTime:    results.CPUTime{User: 100 * readings, System: 50 * readings, Idle: 850 * readings, Steal: 3 * readings},
				Congestion: "cubic", Congestions: []string{"reno", "cubic"}, Qdisc: "fq_codel", GoVersion: "go1.26", Version: "(devel)",
				Virtual: results.Virtual{Hypervisor: true},
				Sysctls: map[string]string{"net.ipv4.tcp_rmem": "4096 131072 6291456"},
			}
		},
	})
	require.NoError(t, err)
	return recorder
}

// Run fabricates a whole run in dir and returns its folder.
func Run(t testing.TB, dir string, o Options) string {
	t.Helper()
	recorder := Create(t, dir, o)
	require.NoError(t, recorder.Describe("qdiscs", map[string]any{"lb": "tbf rate 100mbit"}))
	require.NoError(t, recorder.AddEvent(results.EventNarration, "The client downloads through the VIP.", nil))
	addSamples(t, recorder, o)
	require.NoError(t, recorder.AddEvent(results.EventEvidence, "Geneve option of the first packet",
		map[string]string{"class": "0x014b", "type": "0x81", "address": "185.150.8.128"}))
	for _, e := range Manifest(o).Expectations {
		outcome, evidence := results.Held, "made up by a test: "+e.ID+" held"
		switch e.ID {
		case o.Skip:
			continue
		case o.Break:
			outcome, evidence = results.Broken, "made up by a test: "+e.ID+" did not hold <&>"
		}
		require.NoError(t, recorder.Expect(e.ID, outcome, evidence))
	}
	raw, err := recorder.RawFile("captures/lb.pcapng")
	require.NoError(t, err)
	require.NoError(t, raw.Close())
	if o.LeaveOpen {
		return recorder.Dir()
	}
	if o.Interrupted {
		recorder.Interrupt()
	}
	if o.Reported == "" {
		o.Reported = results.Passed
	}
	_, err = recorder.Close(o.Reported, o.Reason)
	require.NoError(t, err)
	return recorder.Dir()
}

func addSamples(t testing.TB, recorder *results.Recorder, o Options) {
	t.Helper()
	r := rand.New(rand.NewPCG(o.Seed, 1))
	if o.Scale == 0 {
		o.Scale = 1
	}
	ceilings := map[string]float64{"none": 941e6, "kube-proxy": 94.6e6, "snat": 94.9e6, "dsr": 940e6 * o.Scale}
	add := func(s results.Sample) { require.NoError(t, recorder.AddSample(s)) }
	for repetition := range Repetitions {
		for _, variant := range Manifest(o).Variants {
			payloadRate := results.Sample{
				Variant: variant, Repetition: repetition, Metric: "payload_rate", Unit: "bit/s",
				Value: math.Round(ceilings[variant] * (1 + r.NormFloat64()/400)),
			}
			if repetition == 4 && variant == "kube-proxy" {
				payloadRate.Invalid = "link calibration off by 7.1 %"
			}
			if o.AllInvalid && variant == "dsr" {
				payloadRate.Invalid = "the CPU was saturated"
			}
			add(payloadRate)
			limited := variant == "snat" || variant == "kube-proxy"
			retransmits, reply := 0.0, 0.0
			if limited {
				retransmits, reply = float64(200+r.IntN(90)), float64(1e8+r.IntN(1e6))
			}
			add(results.Sample{Variant: variant, Repetition: repetition, Metric: "retransmits", Unit: "segments", Value: retransmits})
			add(results.Sample{Variant: variant, Repetition: repetition, Metric: "lb_port_bytes_reply", Unit: "B", Value: reply})
			preserved := 1.0
			if limited {
				preserved = 0
			}
			for _, protocol := range []string{"tcp", "udp"} {
				add(results.Sample{Variant: variant, Repetition: repetition, Metric: "source_preserved", Unit: "ratio", Value: preserved,
					Labels: map[string]string{"protocol": protocol}})
			}
		}
	}
	for _, queue := range []int{3, 6, 12, 25, 50, 100, 200, 400} {
		for _, variant := range []string{"kube-proxy", "snat"} {
			for repetition := range Repetitions {
				full := 1 - math.Exp(-float64(queue)/40)
				add(results.Sample{Variant: variant, Repetition: repetition, Metric: "payload_rate", Unit: "bit/s",
					Value:  math.Round((8e6 + 87e6*full) * (1 + r.NormFloat64()/20)),
					Labels: map[string]string{"queue": fmt.Sprintf("%dkb", queue)}})
			}
		}
	}
}
