package steps

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/names"
)

// TestKinds: every pointer of Step is a kind of step, under the name that lab.yaml has for it.
func TestKinds(t *testing.T) {
	kinds := reflect.TypeFor[Step]()
	for i := range kinds.NumField() {
		field := kinds.Field(i)
		if field.Type.Kind() != reflect.Pointer {
			continue
		}
		require.Implements(t, (*kind)(nil), reflect.New(field.Type.Elem()).Interface(), field.Name)
		step := &Step{}
		reflect.ValueOf(step).Elem().Field(i).Set(reflect.New(field.Type.Elem()))
		assert.Equal(t, field.Tag.Get("json"), step.Kind()+",omitempty")
	}
	assert.Empty(t, (&Step{}).Kind())
}

// TestMeasuresLabels: what a step measures has the step's labels, except where the kind has labels of its own in their place.
func TestMeasuresLabels(t *testing.T) {
	labels, n := map[string]string{"family": "v4"}, &names.Names{}
	plain := &Step{LBList: &LBListStep{}, Labels: labels}
	assert.Equal(t, Measurements(map[string][]string{"family": {"v4"}}, "listed_dsr", "listed_backends"), plain.Measures(n))
	for _, m := range (&Step{Withdraw: &WithdrawStep{Node: "lb-1"}, Labels: labels}).Measures(n) {
		assert.Equal(t, map[string][]string{"without": {"lb-1"}}, m.Labels, m.Metric)
	}
	assert.Empty(t, (&Step{}).Measures(n))
}
