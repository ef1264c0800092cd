package results

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTableOf(t *testing.T) {
	expectation := func(id, variant, column, differs string) Expectation {
		return Expectation{ID: id, Text: id, Variant: variant, Metric: "cell", Labels: map[string]string{"column": column}, Differs: differs}
	}
	recorder, err := Create(Config{Dir: t.TempDir(), Manifest: Manifest{
		Lab: "07-full-picture", Variants: []string{"a", "b"}, Repetitions: 1, Topology: TopologyRef{Name: "t", Hash: "00"},
		Expectations: []Expectation{
			expectation("a-tcp", "a", "TCP", ""), expectation("a-udp", "a", "UDP", "the slide is wrong"),
			expectation("b-tcp", "b", "TCP", ""), expectation("b-udp", "b", "UDP", ""),
		},
	}})
	require.NoError(t, err)
	for _, s := range []struct {
		variant, column string
		value           float64
	}{{"a", "TCP", 1}, {"a", "UDP", 0}, {"b", "TCP", 0}} {
		require.NoError(t, recorder.AddSample(Sample{
			Variant: s.variant, Metric: "cell", Unit: "ratio", Value: s.value, Labels: map[string]string{"column": s.column},
		}))
	}
	require.NoError(t, recorder.Expect("a-tcp", Held, "it does"))
	require.NoError(t, recorder.Expect("a-udp", Held, "it does not"))
	require.NoError(t, recorder.Expect("b-tcp", Broken, "b-tcp: it does not"))
	_, err = recorder.Close(Passed, "")
	require.NoError(t, err)
	run, err := Open(recorder.Dir())
	require.NoError(t, err)

	table, err := TableOf(run)
	require.NoError(t, err)
	assert.Equal(t, []string{"TCP", "UDP"}, table.Columns)
	require.Len(t, table.Rows, 2)
	for i, want := range []map[string]string{
		{"TCP": "yes", "UDP": "no (slide: yes)"}, {"TCP": "no (slide: yes)", "UDP": "not measured"},
	} {
		for column, text := range want {
			assert.Equal(t, text, table.Rows[i].Cells[column].String(), "%s %s", table.Rows[i].Approach, column)
		}
	}
	assert.Equal(t, "the slide is wrong", table.Rows[0].Cells["UDP"].Why)
	assert.Equal(t, "it does not", table.Rows[1].Cells["TCP"].Why)

	run.Manifest.Expectations = nil
	_, err = TableOf(run)
	assert.ErrorContains(t, err, "has no cells of the table: lab 07-full-picture measures them")
}
