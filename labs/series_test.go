package labs

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
)

// recorded are a run's values of a metric of one variant under some labels, in the order in which they were taken.
func recorded(run *results.Run, variant, metric string, labels map[string]string) (samples []results.Sample, series []results.Series) {
	for _, s := range run.Samples {
		if s.Variant == variant && s.Metric == metric && results.FormatLabels(s.Labels) == results.FormatLabels(labels) {
			samples = append(samples, s)
		}
	}
	for _, s := range run.Series {
		if s.Variant == variant && s.Metric == metric && results.FormatLabels(s.Labels) == results.FormatLabels(labels) {
			series = append(series, s)
		}
	}
	return samples, series
}

func total(s results.Series) (sum float64) {
	for _, v := range s.Values {
		sum += v
	}
	return sum
}

// TestTransferOverTime: what a lab records of a download over time adds up to what it records of the whole. Three things that are counted in
// three places agree: bytes at the client's application, their rate from the first to the last, and frames at the LB node's port.
func TestTransferOverTime(t *testing.T) {
	labPod := testLabs.Program(t, "labpod")
	lab, err := Lookup("02-throughput")
	require.NoError(t, err)
	lab.Spec.Phases, lab.Spec.Expectations = lab.Spec.Phases[:2], nil
	lab.Spec.Variants = lab.Spec.Variants[2:]
	dir := t.TempDir()
	summary, err := (&Runner{
		Testbed: testbed.Options{StateDir: testLabs.StateDir(t), LabPod: labPod},
		RunsDir: dir, Repetitions: 1, Scale: 10, Narrator: &quiet{},
	}).Run(t.Context(), lab)
	require.NoError(t, err)
	run, err := results.Open(filepath.Join(dir, summary.Run))
	require.NoError(t, err)

	for _, labels := range []map[string]string{nil, {"limit": "police", "burst": "3100b"}} {
		for _, variant := range []string{"snat", "dsr"} {
			name := variant + " " + results.FormatLabels(labels)
			rates, _ := recorded(run, variant, "payload_rate", labels)
			_, delivered := recorded(run, variant, "delivered", labels)
			retransmits, again := recorded(run, variant, "retransmits", labels)
			crossed, _ := recorded(run, variant, "lb_port_bytes_reply", labels)
			require.NotEmpty(t, rates, name)
			require.Len(t, delivered, len(rates), name)
			require.Len(t, again, len(rates), name)
			require.Len(t, crossed, len(rates), name)
			for i, rate := range rates {
				bytes, at := delivered[i], delivered[i].At
				assert.Equal(t, rate.Invalid, bytes.Invalid, name)
				assert.InDelta(t, retransmits[i].Value, total(again[i]), 0, name)

				// The rate is that from the first byte to the last one. The last one ends the series; the first one came when the first interval
				// that has any ends or, as between two readings the rate is taken for constant, in one of its neighbours.
				first := 0
				for bytes.Values[first] == 0 {
					first++
				}
				until := at[len(at)-1]
				least := 8 * total(bytes) / until
				assert.GreaterOrEqual(t, rate.Value, 0.999*least, name)
				if first+1 < len(at)-1 {
					assert.LessOrEqual(t, rate.Value, 1.001*8*total(bytes)/(until-at[first+1]), name)
				}

				// With SNAT each byte of an answer comes and goes through the LB node's port; with DSR none does.
				if variant == "dsr" {
					assert.Zero(t, crossed[i].Value, name)
				} else {
					assert.GreaterOrEqual(t, crossed[i].Value, 2*total(bytes), name)
				}
			}
		}
	}
}
