package report

import (
	"encoding/csv"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/dsrlab/dsrlab/results"
)

// CSV writes every sample of the run, invalid ones too, one a line after a header. Values are in the units of the run.
func CSV(w io.Writer, run *results.Run) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"run", "lab", "variant", "repetition", "metric", "labels", "value", "unit", "time", "valid", "reason"}}
	for _, s := range run.Samples {
		value := ""
		if !math.IsNaN(s.Value) {
			value = strconv.FormatFloat(s.Value, 'g', -1, 64)
		}
		rows = append(rows, []string{
			run.Manifest.Run, run.Manifest.Lab, s.Variant, strconv.Itoa(s.Repetition), s.Metric, results.FormatLabels(s.Labels),
			value, s.Unit, s.Time.UTC().Format(time.RFC3339Nano), strconv.FormatBool(s.Valid()), s.Invalid,
		})
	}
	return out.WriteAll(rows)
}
