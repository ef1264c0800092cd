package arrival

import (
	"encoding/json"
	"math"
	"slices"

	"github.com/dsrlab/dsrlab/results/stats"
)

// Latency summarizes times, in seconds. Percentiles are interpolated between the closest ranks, of all times and not of a
// sketch. All fields are 0 if Count is.
type Latency struct {
	Count int     `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// LatencyOf summarizes seconds, in any order.
func LatencyOf(seconds []float64) Latency {
	if len(seconds) == 0 {
		return Latency{}
	}
	return Latency{
		Count: len(seconds),
		Mean:  stats.Mean(seconds),
		P50:   stats.Percentile(seconds, 50),
		P95:   stats.Percentile(seconds, 95),
		P99:   stats.Percentile(seconds, 99),
		Max:   slices.Max(seconds),
	}
}

var _ json.Marshaler = Latency{}

// MarshalJSON rounds to a tenth of a microsecond: the clock and the scheduler are no more precise.
func (l Latency) MarshalJSON() ([]byte, error) {
	type plain Latency
	for _, v := range []*float64{&l.Mean, &l.P50, &l.P95, &l.P99, &l.Max} {
		*v = math.Round(*v*1e7) / 1e7
	}
	return json.Marshal(plain(l))
}
