package results_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
)

// noisy makes runs whose metrics have the medians of a recorded run, and scatter as recorded ones do.
type noisy struct {
	recorded *results.Run
	groups   []results.Group
	scatter  map[string][]float64 // kind of metric: relative distances from means
	kind     func(lab string, g results.Group) string
}

// newNoisy takes the scatter of all reference runs; kind tells apart what does not scatter alike.
func newNoisy(t *testing.T, lab string, kind func(lab string, g results.Group) string) noisy {
	t.Helper()
	store := results.Store{Reference: results.Reference()}
	entries, err := store.List()
	require.NoError(t, err)
	scatter := map[string][]float64{}
	for _, entry := range entries {
		require.NoError(t, entry.Err)
		for _, group := range entry.Run.Groups() {
			key := kind(entry.Run.Manifest.Lab, group)
			scatter[key] = append(scatter[key], stats.Residuals(group.Values())...)
		}
	}
	run, err := store.Find(lab)
	require.NoError(t, err)
	groups := slices.DeleteFunc(run.Groups(), func(g results.Group) bool { return len(g.Values()) < 2 || g.Labels["limit"] != "" })
	return noisy{run, groups, scatter, kind}
}

// run makes a run with n samples of each metric. Factor multiplies the samples of a group; nil leaves them.
func (n noisy) run(r *rand.Rand, samples int, factor func(results.Group) float64) *results.Run {
	run := *n.recorded
	run.Samples = nil
	for _, group := range n.groups {
		center, scatter := stats.Median(group.Values()), n.scatter[n.kind(n.recorded.Manifest.Lab, group)]
		if factor != nil {
			center *= factor(group)
		}
		for i := range samples {
			value := center
			if len(scatter) > 0 {
				value *= 1 + scatter[r.IntN(len(scatter))]
			}
			run.Samples = append(run.Samples, results.Sample{
				Variant: group.Variant, Repetition: i, Metric: group.Metric, Unit: group.Unit, Labels: group.Labels, Value: value,
			})
		}
	}
	return &run
}

func shown(m results.ComparedMetric) bool { return m.Finding != results.NoDifference }

// TestComparisonOfEqualRuns: of a thousand comparisons of runs between which nothing differs, at most 5 % report a difference in
// any of their metrics.
func TestComparisonOfEqualRuns(t *testing.T) {
	const comparisons = 1000
	byMetric := func(_ string, g results.Group) string { return g.Metric }
	from, r, reports, samples := newNoisy(t, "02-throughput", byMetric), rand.New(rand.NewPCG(1, 1)), 0, 8
	for range comparisons {
		c := results.Compare(from.run(r, samples, nil), from.run(r, samples, nil), 0)
		require.LessOrEqual(t, c.FewestSamples, samples, "there are enough samples to show a difference")
		if slices.ContainsFunc(c.Metrics, shown) {
			reports++
		}
	}
	t.Logf("%d of %d comparisons report a difference", reports, comparisons)
	assert.LessOrEqual(t, reports, comparisons*5/100)
}

// TestDifferenceOf3PercentIsFound: with the number of samples that the comparison itself says are needed, a rate that is 3 %
// lower in truth is found in at least 90 % of comparisons.
func TestDifferenceOf3PercentIsFound(t *testing.T) {
	const comparisons = 100
	alike := func(lab string, g results.Group) string {
		return lab + g.Metric + g.Variant + results.FormatLabels(g.Labels)
	}
	for _, variant := range []string{"none", "kube-proxy", "snat", "dsr"} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			changed := func(g results.Group) bool {
				return g.Metric == "payload_rate" && g.Variant == variant && g.Labels == nil
			}
			from, r := newNoisy(t, "02-throughput", alike), rand.New(rand.NewPCG(2, 2))
			find := func(c results.Comparison) results.ComparedMetric {
				return c.Metrics[slices.IndexFunc(c.Metrics, func(m results.ComparedMetric) bool {
					return m.Metric == "payload_rate" && m.Variant == variant && m.Labels == nil
				})]
			}
			pilot := find(results.Compare(from.run(r, 25, nil), from.run(r, 25, nil), results.DefaultEffect))
			require.Positive(t, pilot.SamplesNeeded)
			found := 0
			for range comparisons {
				slower := from.run(r, pilot.SamplesNeeded, func(g results.Group) float64 {
					if changed(g) {
						return 0.97
					}
					return 1
				})
				if find(results.Compare(from.run(r, pilot.SamplesNeeded, nil), slower, 0)).Finding == results.Worse {
					found++
				}
			}
			t.Logf("with %d samples %d of %d comparisons find it", pilot.SamplesNeeded, found, comparisons)
			assert.GreaterOrEqual(t, found, comparisons*90/100)
		})
	}
}
