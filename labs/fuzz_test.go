package labs

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
)

// FuzzParse feeds hostile lab files: each is refused with an error, or is a lab that can be judged without a run.
func FuzzParse(f *testing.F) {
	names, err := Catalogue()
	require.NoError(f, err)
	for _, name := range names {
		data, err := catalogue.ReadFile(name + "/lab.yaml")
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lab, err := Parse("fuzz", data)
		if err != nil {
			require.Nil(t, lab)
			require.NotEmpty(t, err.Error())
			return
		}
		for i := range lab.Spec.Phases {
			lab.Spec.Phases[i].Sweep.settings()
			for k := range lab.Spec.Phases[i].Steps {
				require.NotEmpty(t, lab.Spec.Phases[i].Steps[k].Kind())
			}
		}
		for i := range lab.Spec.Expectations {
			lab.Spec.Expectations[i].Unit()
			lab.Spec.Expectations[i].Judge(results.Summary{}, (&results.Run{}).Ratio)
		}
	})
}
