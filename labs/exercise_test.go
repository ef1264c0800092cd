package labs

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
)

// referenceOf is the committed run of a lab: a participant's own, for these tests.
func referenceOf(t *testing.T, lab string) *results.Run {
	t.Helper()
	run, err := results.Store{Reference: results.Reference()}.Find(lab)
	require.NoError(t, err)
	return run
}

func TestCheck(t *testing.T) {
	run := referenceOf(t, "01-source-ip")
	measured := Exercise{ID: "m", Answer: Answer{Measured: &MeasuredAnswer{
		Variant: "dsr", Metric: "source_preserved", Labels: map[string]string{"protocol": "tcp"},
	}}}
	reproduced := Exercise{ID: "r", Answer: Answer{Run: &RunAnswer{Claim: "DSR-1", Verdict: results.Reproduced}}}
	broken := Exercise{ID: "b", Answer: Answer{Run: &RunAnswer{Fault: "snat", Claim: "DSR-1", Verdict: results.Differs}}}
	text := Exercise{ID: "t", Answer: Answer{Text: "node-[ab]"}}
	for _, test := range []struct {
		exercise Exercise
		answer   string
		run      *results.Run
		right    bool
		why, err string
	}{
		{measured, "1", run, true, "right: your run " + run.Manifest.Run + " measured 1", ""},
		{measured, "0.97", run, false, "measured something else than 0.97", ""},
		{measured, "all", run, false, "", `answer: found "all" (want a number)`},
		{measured, "1", nil, false, "", "missing run of your own: run the lab first"},
		{reproduced, "", run, true, "the verdict on DSR-1 is reproduced", ""},
		{broken, "", run, false, "nothing was broken in run " + run.Manifest.Run, ""},
		{text, " Node-A ", nil, true, "right", ""},
		{text, "xnode-a", nil, false, `"xnode-a" is not it`, ""},
		{text, "", nil, false, "", "missing answer (want a text)"},
	} {
		right, why, err := test.exercise.Check(test.answer, test.run)
		assert.Equal(t, test.right, right, "%s %q", test.exercise.ID, test.answer)
		assert.Contains(t, why, test.why)
		if test.err != "" {
			assert.EqualError(t, err, test.err)
		} else {
			assert.NoError(t, err)
		}
	}
	faulty := *run
	faulty.Manifest.Faults = map[string]string{"dsr": "no-option"}
	right, why, err := broken.Check("", &faulty)
	require.NoError(t, err)
	assert.False(t, right)
	assert.Contains(t, why, "was made with fault no-option in variant dsr, which is another one")
	_, _, err = measured.Check("1", &faulty)
	assert.ErrorContains(t, err, "was broken on purpose")
}

// TestExercises: every lab has three, and their measured answers are in its reference run.
func TestExercises(t *testing.T) {
	names, err := Catalogue()
	require.NoError(t, err)
	for _, name := range names {
		lab, err := Lookup(name)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, len(lab.Spec.Exercises), 3, name)
		run := referenceOf(t, name)
		for _, e := range lab.Spec.Exercises {
			if m := e.Answer.Measured; m != nil {
				found, ok := results.Summarize(run).Find(m.Variant, m.Metric, m.Labels)
				assert.True(t, ok && found.Median != nil, "%s/%s: the reference run has no %s of %s", name, e.ID, m.Metric, m.Variant)
			}
		}
	}
}

func TestScaffold(t *testing.T) {
	dir := t.TempDir()
	folder, err := Scaffold(dir, "15-my-lab", "bin/dsrlab")
	require.NoError(t, err)
	lab, err := Find(folder)
	require.NoError(t, err)
	assert.Equal(t, "15-my-lab", lab.Metadata.Name)
	_, err = Find(folder + "/lab.yaml")
	require.NoError(t, err)
	_, err = Scaffold(dir, "15-my-lab", "dsrlab")
	assert.ErrorContains(t, err, "file exists")
	_, err = Scaffold(dir, "my lab", "dsrlab")
	assert.EqualError(t, err, `name: found "my lab" (want two digits, a dash and a name, as in 15-my-lab)`)
	_, err = Find("99-nothing")
	assert.ErrorContains(t, err, `unknown lab "99-nothing"`)
}

// What is printed and written runs as it stands: the path of a folder here, numbers that begin with 0, and names without a slash.
func TestScaffoldHere(t *testing.T) {
	t.Chdir(t.TempDir())
	folder, err := Scaffold(".", "08-x", "bin/dsrlab")
	require.NoError(t, err)
	assert.Equal(t, "./08-x", folder)
	for _, name := range []string{folder, "08-x", "08-x/lab.yaml"} {
		lab, err := Find(name)
		require.NoError(t, err, name)
		assert.Equal(t, uint64(8), lab.Spec.Seed)
	}
	lab, err := Find("08")
	require.NoError(t, err)
	assert.Equal(t, "08-oversubscription", lab.Metadata.Name, "the catalogue's come first")
	readme, err := os.ReadFile("08-x/README.md")
	require.NoError(t, err)
	assert.Contains(t, string(readme), "sudo bin/dsrlab lab run ./08-x\n")
}
