package labs

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/expect"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
)

// A lab that passes with a broken data path proves nothing: each fault must fail it, and speak against the claims that it breaks
// and against no others.
func TestBrokenDataPathFailsLab(t *testing.T) {
	labPod := testLabs.Program(t, "labpod")
	tests := []struct {
		fault   dataplane.Fault
		broken  []string // expectations
		differs []string // claims
		result  results.Result
	}{
		{fault: dataplane.FaultNone, result: results.Passed},
		{
			dataplane.FaultNoOption, []string{"dsr-connects-tcp", "dsr-connects-udp", "dsr-option"}, []string{"DSR-1"}, results.Failed,
		},
		{
			dataplane.FaultNoReplyRewrite, []string{"dsr-connects-tcp", "dsr-connects-udp", "dsr-reply-source"}, []string{"DSR-1", "DSR-3"},
			results.Failed,
		},
		{
			dataplane.FaultSNAT, []string{"dsr-tcp", "dsr-udp", "dsr-option", "dsr-bypass", "dsr-bypass-capture"}, []string{"DSR-1", "DSR-3"},
			results.Failed,
		},
	}
	for _, test := range tests {
		t.Run("fault "+string(test.fault), func(t *testing.T) {
			lab, err := Lookup("01-source-ip")
			require.NoError(t, err)
			require.NoError(t, lab.UseFault(test.fault))
			if test.fault != dataplane.FaultNone {
				dropVariant(lab, "dnat-only") // waits for 10 s for answers that never come, and has nothing of ours that is broken
			}
			dir := t.TempDir()
			runner := &Runner{
				Testbed: testbed.Options{StateDir: testLabs.StateDir(t), LabPod: labPod},
				RunsDir: dir, Repetitions: 1, Narrator: &quiet{},
			}
			summary, err := runner.Run(t.Context(), lab)
			require.NoError(t, err)
			assert.Equal(t, test.result, summary.Result, summary.Reason())
			var broken, differs []string
			for _, e := range summary.Expectations {
				if e.Outcome == results.Broken {
					broken = append(broken, e.ID)
				}
			}
			for _, claim := range summary.Claims {
				if claim.Verdict == results.Differs {
					differs = append(differs, claim.ID)
				}
			}
			assert.Equal(t, test.broken, broken)
			assert.Equal(t, test.differs, differs)

			run, err := results.Open(filepath.Join(dir, summary.Run))
			require.NoError(t, err)
			if test.fault == dataplane.FaultNone {
				assert.Empty(t, run.Manifest.Faults)
				return
			}
			assert.Equal(t, map[string]string{"dsr": string(test.fault)}, run.Manifest.Faults)
			assert.Equal(t, "variant dsr was broken on purpose: "+string(test.fault), summary.Reasons[0])
		})
	}
}

// dropVariant removes a variant from a lab, with what is expected of it.
func dropVariant(lab *Lab, name string) {
	lab.Spec.Variants = slices.DeleteFunc(lab.Spec.Variants, func(v testbed.Variant) bool { return v.Name == name })
	lab.Spec.Expectations = slices.DeleteFunc(lab.Spec.Expectations, func(e expect.Expectation) bool { return e.Variant == name })
}

func TestUseFault(t *testing.T) {
	lab, err := Lookup("01-source-ip")
	require.NoError(t, err)
	require.NoError(t, lab.UseFault(dataplane.FaultSNAT))
	for _, v := range lab.Spec.Variants {
		assert.Equal(t, v.Mode == services.ModeDSR, v.Fault == dataplane.FaultSNAT, v.Name)
	}
	assert.EqualError(t, lab.UseFault("all"), `fault "all": must be no-option, no-reply-rewrite, snat, or empty for none`)

	lab.Spec.Variants = lab.Spec.Variants[:1]
	assert.NoError(t, lab.UseFault(dataplane.FaultNone))
	assert.EqualError(t, lab.UseFault(dataplane.FaultSNAT), "lab 01-source-ip has no variant of mode dsr to break")
}
