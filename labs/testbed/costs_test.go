package testbed

import (
	"testing"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
)

// costs are the CPU seconds of all processors together that each variant took for a unit of work, one value per turn. Their ratio to
// plain routing in the same run is what another machine has, too; rates depend on how many processors share the work. What else the
// machine does meanwhile is in them: so variants are compared turn by turn.
type costs map[string][]float64

// busyDuring returns the seconds that all processors together were busy while work ran: time idle, waiting for a disk or given to
// other virtual machines left out.
func busyDuring(work func()) float64 {
	before := results.ReadEnvironment().CPUTime
	work()
	after := results.ReadEnvironment().CPUTime
	return after.User - before.User + after.System - before.System + after.IRQ - before.IRQ
}

// report prints each variant's cost as a multiple of that of `none` (the median of the turns' ratios) and for itself (the median), in
// the unit of which a second has scale.
func (c costs) report(b *testing.B, variants []Variant, prefix, unit string, scale float64) {
	for _, v := range variants {
		var ofNone []float64
		for turn, cost := range c[v.Name] {
			ofNone = append(ofNone, cost/c["none"][turn])
		}
		b.ReportMetric(stats.Median(ofNone), prefix+v.Name+"-cpu-of-none")
		b.ReportMetric(scale*stats.Median(c[v.Name]), prefix+v.Name+"-"+unit)
	}
}
