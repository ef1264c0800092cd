package results_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

func summarize(t *testing.T, o resultstest.Options) results.Summary {
	t.Helper()
	run, err := results.Open(resultstest.Run(t, t.TempDir(), o))
	require.NoError(t, err)
	return results.Summarize(run)
}

func TestResult(t *testing.T) {
	const prefix = "made up by a test: "
	tests := map[string]struct {
		options    resultstest.Options
		want       results.Result
		code       int
		reason     string
		thr1, thr2 results.Verdict
	}{
		"all held": {resultstest.Options{}, results.Passed, 0, "", results.Reproduced, results.Reproduced},
		"one failed": {resultstest.Options{Break: "snat-capped"}, results.Failed, 1,
			"expectation snat-capped [THR-1] failed: with a deep queue snat stays below 96 Mbit/s: " + prefix + "snat-capped did not hold <&>",
			results.Differs, results.Reproduced},
		"one that speaks for no claim failed": {resultstest.Options{Break: "dsr-bypass"}, results.Failed, 1,
			"expectation dsr-bypass failed: no byte of a reply passes the LB node's port: " + prefix + "dsr-bypass did not hold <&>",
			results.Reproduced, results.Reproduced},
		"one did not run": {resultstest.Options{Skip: "dsr-full"}, results.Untested, 4,
			"expectation dsr-full [THR-2] did not run: dsr reaches 0.99 of the path without a load balancer: was never reached",
			results.Reproduced, results.NotMeasured},
		"half of a claim did not run": {resultstest.Options{Skip: "snat-capped"}, results.Untested, 4,
			"expectation snat-capped [THR-1] did not run: with a deep queue snat stays below 96 Mbit/s: was never reached",
			results.NotMeasured, results.Reproduced},
		"failed wins over not run": {resultstest.Options{Skip: "snat-capped", Break: "snat-collapses"}, results.Failed, 1,
			"expectation snat-capped [THR-1] did not run: with a deep queue snat stays below 96 Mbit/s: was never reached; " +
				"expectation snat-collapses [THR-1] failed: with a shallow queue snat falls below 30 Mbit/s: " + prefix + "snat-collapses did not hold <&>",
			results.Differs, results.Reproduced},
		"no valid sample": {resultstest.Options{AllInvalid: true}, results.Untested, 4,
			"none of 9 samples of payload_rate for variant dsr is valid: the CPU was saturated", results.Reproduced, results.Reproduced},
		"reported unsupported": {resultstest.Options{Reported: results.Unsupported, Reason: "no netem"}, results.Unsupported, 3,
			"no netem", results.Reproduced, results.Reproduced},
		"a failure is not hidden by unsupported": {resultstest.Options{Break: "dsr-bypass", Reported: results.Unsupported, Reason: "no netem"}, results.Failed, 1,
			"no netem; expectation dsr-bypass failed: no byte of a reply passes the LB node's port: " + prefix + "dsr-bypass did not hold <&>",
			results.Reproduced, results.Reproduced},
		"broken on purpose, and no one noticed": {resultstest.Options{Fault: "no-option"}, results.Untested, 4,
			"variant dsr was broken on purpose: no-option", results.Reproduced, results.Reproduced},
		"broken on purpose": {resultstest.Options{Fault: "no-option", Break: "dsr-bypass"}, results.Failed, 1,
			"variant dsr was broken on purpose: no-option; expectation dsr-bypass failed: no byte of a reply passes the LB node's port: " +
				prefix + "dsr-bypass did not hold <&>", results.Reproduced, results.Reproduced},
		"ended early": {resultstest.Options{Skip: "snat-capped", Reported: results.Untested, Reason: "it was ended after 2 of 43 trials"}, results.Untested, 4,
			"it was ended after 2 of 43 trials", results.NotMeasured, results.Reproduced},
		"unfinished": {resultstest.Options{LeaveOpen: true}, results.Untested, 4, "the run is unfinished", results.Reproduced, results.Reproduced},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			summary := summarize(t, test.options)
			assert.Equal(t, test.want, summary.Result)
			assert.Equal(t, test.code, summary.Result.ExitCode())
			assert.Equal(t, test.reason, summary.Reason())
			require.Len(t, summary.Claims, 2)
			assert.Equal(t, test.thr1, summary.Claims[0].Verdict)
			assert.Equal(t, test.thr2, summary.Claims[1].Verdict)
		})
	}
}

func TestEmptyRunHasNotPassed(t *testing.T) {
	recorder, err := results.Create(results.Config{Dir: t.TempDir(), Manifest: results.Manifest{
		Lab: "02-throughput", Variants: []string{"dsr"}, Repetitions: 1,
	}})
	require.NoError(t, err)
	summary, err := recorder.Close(results.Passed, "")
	require.NoError(t, err)
	assert.Equal(t, results.Untested, summary.Result)
	assert.Equal(t, "the run has no expectation and no claim", summary.Reason())
}

func TestDescriptiveRun(t *testing.T) {
	create := func() *results.Recorder {
		recorder, err := results.Create(results.Config{Dir: t.TempDir(), Manifest: results.Manifest{
			Lab: "01-source-ip", Variants: []string{"as-is"}, Repetitions: 1, Descriptive: true,
		}})
		require.NoError(t, err)
		return recorder
	}
	recorder := create()
	require.NoError(t, recorder.AddSample(results.Sample{Variant: "as-is", Metric: "health_status", Unit: "status", Value: math.NaN(), Invalid: "no answer"}))
	summary, err := recorder.Close(results.Passed, "")
	require.NoError(t, err)
	assert.Equal(t, results.Untested, summary.Result)
	assert.Equal(t, "nothing was measured", summary.Reason())

	recorder = create()
	require.NoError(t, recorder.AddSample(results.Sample{Variant: "as-is", Metric: "health_status", Unit: "status", Value: math.NaN(), Invalid: "no answer"}))
	require.NoError(t, recorder.AddSample(results.Sample{Variant: "as-is", Metric: "connected", Unit: "ratio", Value: 0}))
	summary, err = recorder.Close(results.Passed, "")
	require.NoError(t, err)
	assert.Equal(t, results.Passed, summary.Result, "%v", summary.Reasons)

	recorder = create()
	summary, err = recorder.Close(results.Failed, "it broke")
	require.NoError(t, err)
	assert.Equal(t, results.Failed, summary.Result)

	_, err = results.Create(results.Config{Dir: t.TempDir(), Manifest: results.Manifest{
		Lab: "01-source-ip", Variants: []string{"as-is"}, Repetitions: 1, Descriptive: true, Claims: []string{"DSR-1"},
	}})
	assert.ErrorContains(t, err, "descriptive: it expects something")
}

func TestVerdictOfTheLab(t *testing.T) {
	tests := map[string]struct {
		expect  results.Outcome
		verdict results.Verdict
		want    results.Verdict
		result  results.Result
	}{
		"the measurement differs, as expected":          {results.Held, results.Differs, results.Differs, results.Passed},
		"it cannot make good what failed":               {results.Broken, results.Reproduced, results.Differs, results.Failed},
		"it cannot make good what did not run":          {results.NotRun, results.Reproduced, results.NotMeasured, results.Untested},
		"without expectations it stands alone":          {"", results.Reproduced, results.Reproduced, results.Passed},
		"not measured, although all expectations held ": {results.Held, results.NotMeasured, results.NotMeasured, results.Untested},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			manifest := results.Manifest{Lab: "02-throughput", Variants: []string{"dsr"}, Repetitions: 1, Claims: []string{"THR-2"}}
			if test.expect != "" {
				manifest.Expectations = []results.Expectation{{ID: "full", Text: "full rate", Claims: []string{"THR-2"}}}
			}
			recorder, err := results.Create(results.Config{Dir: t.TempDir(), Manifest: manifest})
			require.NoError(t, err)
			if test.expect != "" {
				require.NoError(t, recorder.Expect("full", test.expect, "seen"))
			}
			require.NoError(t, recorder.Verdict("THR-2", test.verdict, "concluded"))
			summary, err := recorder.Close(results.Passed, "")
			require.NoError(t, err)
			assert.Equal(t, test.want, summary.Claims[0].Verdict)
			assert.Equal(t, test.result, summary.Result, summary.Reason())
		})
	}
}

func TestExpectationRecordedSeveralTimes(t *testing.T) {
	recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
	for _, outcome := range []results.Outcome{results.Held, results.Broken, results.Held} {
		require.NoError(t, recorder.Expect("dsr-full", outcome, string(outcome)+" once"))
	}
	summary, err := recorder.Close(results.Passed, "")
	require.NoError(t, err)
	assert.Equal(t, results.Differs, summary.Claims[1].Verdict)
	assert.Equal(t, results.Failed, summary.Result)
	assert.Contains(t, summary.Reason(), "failed once")
}

func TestMetricSummary(t *testing.T) {
	summary := summarize(t, resultstest.Options{})
	dsr, ok := summary.Find("dsr", "payload_rate", nil)
	require.True(t, ok)
	assert.Equal(t, resultstest.Repetitions, dsr.Valid)
	assert.InEpsilon(t, 940e6, *dsr.Median, 0.005)
	assert.LessOrEqual(t, dsr.CI95[0], *dsr.Median)
	assert.GreaterOrEqual(t, dsr.CI95[1], *dsr.Median)

	kubeProxy, ok := summary.Find("kube-proxy", "payload_rate", nil)
	require.True(t, ok)
	assert.Equal(t, 9, kubeProxy.N)
	assert.Equal(t, 8, kubeProxy.Valid, "the invalid sample is counted and not used")

	_, ok = summary.Find("dsr", "payload_rate", map[string]string{"queue": "3kb"})
	assert.False(t, ok, "labels are matched exactly")
	udp, ok := summary.Find("snat", "source_preserved", map[string]string{"protocol": "udp"})
	require.True(t, ok)
	assert.Zero(t, *udp.Median)

	broken := summarize(t, resultstest.Options{AllInvalid: true})
	dsr, ok = broken.Find("dsr", "payload_rate", nil)
	require.True(t, ok)
	assert.Equal(t, 9, dsr.N)
	assert.Zero(t, dsr.Valid)
	assert.Nil(t, dsr.Median, "no median without a valid sample")
	assert.Nil(t, dsr.CI95)
}
