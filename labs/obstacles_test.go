package labs

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/expect"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
)

// The lab that a finding names is there, and shows the cause: by its obstacle, or as one of those of the talk.
func TestLabsOfCauses(t *testing.T) {
	known, err := Catalogue()
	require.NoError(t, err)
	for _, info := range assess.Causes() {
		if info.Lab != "" {
			assert.Contains(t, known, info.Lab, info.Cause)
		}
		if info.Lab != "14-would-it-work" {
			continue
		}
		lab, err := Lookup(info.Lab)
		require.NoError(t, err)
		assert.True(t, slices.ContainsFunc(lab.Spec.Expectations, func(e expect.Expectation) bool { return e.Labels["cause"] == string(info.Cause) }), info.Cause)
	}
}

// What a lab has wrong of obstacles, and of what is called behind them, is told with its place.
func TestParseObstacles(t *testing.T) {
	source, err := catalogue.ReadFile("14-would-it-work/lab.yaml")
	require.NoError(t, err)
	for from, test := range map[string]struct{ to, want string }{
		"obstacles: [urpf]":      {"obstacles: [urfp]", `.obstacles[0]: unknown obstacle "urfp" (want one of source-check, `},
		"obstacles: [path-mtu]":  {"obstacles: [path-mtu, path-mtu]", ".obstacles[1]: found path-mtu twice (want each once)"},
		"obstacles: [dnat-nlb]":  {"obstacles: [dnat-nlb], edge: nlb-stateless", ".obstacles[0]: found dnat-nlb and edge nlb-stateless (want one of them: each is what stands in front)"},
		"topology: would-it":     {"topology: talk #", ".obstacles[0]: obstacle dnat-nlb would do nothing: topology talk lacks a node of role nlb (want a topology such as would-it-work)"},
		"assess: {from: client":  {"assess: {from: lb-1", `.assess.from: unknown client "lb-1"`},
		"idle: 1s":               {"idle: -1s", ".assess.idle: found -1s (want 0 or more)"},
		"data: 16kb":             {"data: 65kb", ".connect.data: found 65kb with tcp (want 64kb at most, with tcp)"},
		"labels: {cause: urpf}":  {"labels: {cause: urfp}", "variant urpf does not measure found (cause=urfp)"},
		"metric: causes_found, ": {"metric: cause_found, ", `does not measure "cause_found": did you mean "causes_found"?`},
	} {
		changed := bytes.Replace(source, []byte(from), []byte(test.to), 1)
		require.NotEqual(t, source, changed, from)
		_, err := Parse("lab.yaml", changed)
		assert.ErrorContains(t, err, test.want, from)
	}
}

// By hand a variant with an obstacle is a testbed with it, and calls that carry data say so.
func TestCommandsOfObstacles(t *testing.T) {
	lab, err := Lookup("14-would-it-work")
	require.NoError(t, err)
	plan, err := planOf(lab, "")
	require.NoError(t, err)
	for _, trial := range lab.Spec.Phases[0].Trials(lab, plan, 1) {
		if trial.Variant.Name == "urpf" {
			assert.Equal(t, []string{
				"sudo dsrlab up -f would-it-work --mode dsr --obstacle urpf",
				"sudo dsrlab assess --client client --idle 1s",
				"sudo dsrlab trace client web:tcp",
				"sudo dsrlab exec client -- bin/labpod connect --data 16384 185.150.8.128:8080",
				"sudo dsrlab trace client web:udp --protocol udp",
			}, trial.Commands(lab, plan))
			return
		}
	}
	t.Error("there is no variant urpf")
}

// An obstacle is there in its own variant's trials and in no others: one that is an edge, and one that is not.
func TestObstaclesOfVariants(t *testing.T) {
	labPod := testLabs.Program(t, "labpod")
	lab, err := Lookup("14-would-it-work")
	require.NoError(t, err)
	kept := []string{"path-mtu", "dnat-nlb", "healthy"} // each after one whose obstacle would show
	lab.Spec.Variants = slices.DeleteFunc(lab.Spec.Variants, func(v testbed.Variant) bool { return !slices.Contains(kept, v.Name) })
	slices.SortFunc(lab.Spec.Variants, func(a, b testbed.Variant) int { return slices.Index(kept, a.Name) - slices.Index(kept, b.Name) })
	lab.Spec.Expectations = slices.DeleteFunc(lab.Spec.Expectations, func(e expect.Expectation) bool { return !slices.Contains(kept, e.Variant) })
	lab.Spec.Phases[0].Steps = lab.Spec.Phases[0].Steps[:3]
	lab.Spec.Expectations = slices.DeleteFunc(lab.Spec.Expectations, func(e expect.Expectation) bool {
		return e.Metric == "connected" && (e.Labels["protocol"] == "udp" || e.Labels["calls"] == "node-port")
	})
	runner := &Runner{
		Testbed: testbed.Options{StateDir: testLabs.StateDir(t), LabPod: labPod}, RunsDir: t.TempDir(), Narrator: &quiet{},
	}
	summary, err := runner.Run(t.Context(), lab)
	require.NoError(t, err)
	assert.Equal(t, results.Passed, summary.Result, summary.Reason())
	for _, e := range summary.Expectations {
		assert.Equal(t, results.Held, e.Outcome, e.Evidence)
	}
}

// A device with a large MTU takes no XDP program: what an earlier variant did to it is undone before one is attached.
func TestXDPAfterLargeMTU(t *testing.T) {
	labPod := testLabs.Program(t, "labpod")
	lab, err := Lookup("14-would-it-work")
	require.NoError(t, err)
	lab.Spec.Variants = []testbed.Variant{
		{Name: "mtu-mixed", DataPath: testbed.DataPathDSRLab, Mode: "dsr", Obstacles: []string{"mtu-mixed"}},
		{Name: "xdp", DataPath: testbed.DataPathDSRLab, Mode: "dsr", Hook: "xdp"},
	}
	lab.Spec.Expectations = nil
	lab.Spec.Phases[0].Steps = lab.Spec.Phases[0].Steps[1:2]
	runner := &Runner{
		Testbed: testbed.Options{StateDir: testLabs.StateDir(t), LabPod: labPod}, RunsDir: t.TempDir(), Narrator: &quiet{},
	}
	summary, err := runner.Run(t.Context(), lab)
	require.NoError(t, err)
	assert.Equal(t, results.Untested, summary.Result, "it expects nothing, and nothing failed: %s", summary.Reason())
}
