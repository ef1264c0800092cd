package steps

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/assess"
)

// A report's samples are among those that the step says it measures, and only the causes found have 1.
func TestDiagnosedSamples(t *testing.T) {
	r := &assess.Report{Verdict: assess.Wont, Findings: []assess.Finding{
		{Causes: []assess.Cause{assess.URPF, assess.SourceFilter}}, {Causes: []assess.Cause{assess.URPF}},
	}}
	measured := (&AssessStep{}).measures(nil)
	ones := []string{}
	for _, v := range diagnosed(r) {
		assert.True(t, slices.ContainsFunc(measured, func(m Measurement) bool { return m.Metric == v.Metric && m.Has(v.Labels, "") }), "%v", v)
		switch {
		case v.Metric == "causes_found":
			assert.InDelta(t, 2, v.Value, 0)
		case v.Value == 1:
			ones = append(ones, v.Metric+" "+v.Labels["cause"]+v.Labels["verdict"])
		}
	}
	assert.Equal(t, []string{"found urpf", "found source-filter", "judged won't"}, ones)
	assert.Len(t, diagnosed(r), 1+len(assess.Causes())+4)
}

func TestAssessValidate(t *testing.T) {
	errs := (&AssessStep{Idle: Duration(-time.Second)}).validate()
	require.Len(t, errs, 1)
	assert.EqualError(t, errs[0], "idle: found -1s (want 0 or more)")
	assert.Empty(t, (&AssessStep{}).validate())
}
