package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/results/stats"
)

// SeriesKind says what the values of a series are.
type SeriesKind string

const (
	// Amounts are what came in each interval: Values[i] between At[i-1] (the first: 0) and At[i].
	Amounts SeriesKind = "amounts"
	// Levels are what was there at moments: Values[i] at At[i].
	Levels SeriesKind = "levels"
	// Distribution has single values, from the smallest to the largest: all of them, or quantiles that are equally far apart.
	Distribution SeriesKind = "distribution"
)

const (
	// MaxPoints bounds the values of a series; what has more is made coarser before it is recorded.
	MaxPoints = 200
	// quantiles is how many a distribution of more values has: the smallest, each hundredth, the largest.
	quantiles = 101
)

// Series is what the single value of a sample leaves out: how something went over time, or how it was distributed. It has the
// variant, repetition and labels of the samples that were measured with it, and counts if they do.
type Series struct {
	Variant    string
	Repetition int
	// Metric is what Values are, as in delivered; series of one metric have one unit and one kind.
	Metric string
	Unit   string
	Kind   SeriesKind
	// At are seconds, each later than the one before; a distribution has none.
	At     []float64
	Values []float64
	// Count is how many values a distribution was made of.
	Count int
	// Invalid is why the series does not count; a valid one has none.
	Invalid string
	Labels  map[string]string
}

// Valid reports whether the series counts.
func (s Series) Valid() bool { return s.Invalid == "" }

// NewAmounts returns what came in each interval that ends at a time. If there are more than MaxPoints, neighbours are added up, as are those
// that end too close to each other to be told apart.
func NewAmounts(metric, unit string, at []time.Duration, values []float64) Series {
	s := Series{Metric: metric, Unit: unit, Kind: Amounts}
	together := (len(values) + MaxPoints - 1) / MaxPoints
	sum, before := 0.0, 0.0
	for i, value := range values {
		sum += value
		if (i+1)%together != 0 && i+1 < len(values) {
			continue
		}
		if end := seconds(at[i]); end > before {
			s.At, s.Values = append(s.At, end), append(s.Values, sum)
			sum, before = 0, end
		}
	}
	if n := len(s.Values); n > 0 {
		s.Values[n-1] += sum
	}
	return s
}

// NewLevels returns what was there at moments. If there are more than MaxPoints, some are left out, but never the first and the last; and of
// those that are too close to each other to be told apart all but the first.
func NewLevels(metric, unit string, at []time.Duration, values []float64) Series {
	s := Series{Metric: metric, Unit: unit, Kind: Levels}
	n := min(len(values), MaxPoints)
	for i := range n {
		from := i
		if n < len(values) {
			from = i * (len(values) - 1) / (n - 1)
		}
		if moment := seconds(at[from]); len(s.At) == 0 || moment > s.At[len(s.At)-1] {
			s.At, s.Values = append(s.At, moment), append(s.Values, values[from])
		}
	}
	return s
}

// NewDistribution returns how values, in any order, are distributed.
func NewDistribution(metric, unit string, values []float64) Series {
	s := Series{Metric: metric, Unit: unit, Kind: Distribution, Count: len(values)}
	if len(values) <= quantiles {
		s.Values = slices.Sorted(slices.Values(values))
		return s
	}
	for i := range quantiles {
		s.Values = append(s.Values, stats.Percentile(values, 100*float64(i)/(quantiles-1)))
	}
	return s
}

// seconds rounds to microseconds: no clock here is better.
func seconds(d time.Duration) float64 { return float64(d.Round(time.Microsecond).Microseconds()) / 1e6 }

// seriesLine is a series as it stands in series.jsonl.
type seriesLine struct {
	Variant    string            `json:"variant"`
	Repetition int               `json:"repetition"`
	Metric     string            `json:"metric"`
	Unit       string            `json:"unit"`
	Kind       SeriesKind        `json:"kind"`
	At         []float64         `json:"at,omitempty"`
	Values     []float64         `json:"values"`
	Count      int               `json:"count,omitempty"`
	Valid      bool              `json:"valid"`
	Reason     string            `json:"reason,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}

// MarshalJSON writes the series as a line of series.jsonl.
func (s Series) MarshalJSON() ([]byte, error) {
	return json.Marshal(seriesLine{s.Variant, s.Repetition, s.Metric, s.Unit, s.Kind, s.At, s.Values, s.Count, s.Valid(), s.Invalid, s.Labels})
}

// UnmarshalJSON reads a line of series.jsonl.
func (s *Series) UnmarshalJSON(data []byte) error {
	var line seriesLine
	if err := json.Unmarshal(data, &line); err != nil {
		return err
	}
	if line.Valid != (line.Reason == "") {
		return fmt.Errorf("valid is %t with reason %q: an invalid series has a reason, and only that", line.Valid, line.Reason)
	}
	*s = Series{
		line.Variant, line.Repetition, CurrentMetric(line.Metric), line.Unit, line.Kind, line.At, line.Values, line.Count, line.Reason, line.Labels,
	}
	return nil
}

// check reports everything that is wrong with the series on its own.
func (s Series) check(variants []string) error {
	// What a series says of its trial is what a sample says.
	errs := []error{Sample{Variant: s.Variant, Repetition: s.Repetition, Metric: s.Metric, Unit: s.Unit, Labels: s.Labels}.check(variants)}
	if n := len(s.Values); n == 0 || n > MaxPoints {
		errs = append(errs, fmt.Errorf("values: found %d (want 1 to %d)", n, MaxPoints))
	}
	if slices.ContainsFunc(s.Values, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) || v < 0 }) {
		errs = append(errs, errors.New("values: found one that is no number from 0 up"))
	}
	switch s.Kind {
	case Amounts, Levels:
		before := 0.0 // an interval has a length
		if s.Kind == Levels {
			before = -1
		}
		for _, at := range s.At {
			if !(at > before) || math.IsInf(at, 0) { // so that NaN fails, too
				errs = append(errs, fmt.Errorf("at: found %v after %v (want each later than the one before)", at, before))
				break
			}
			before = at
		}
		if len(s.At) != len(s.Values) {
			errs = append(errs, fmt.Errorf("at: found %d (want one for each of %d values)", len(s.At), len(s.Values)))
		}
	case Distribution:
		if !slices.IsSorted(s.Values) {
			errs = append(errs, errors.New("values: want them from the smallest to the largest"))
		}
		if len(s.At) > 0 || s.Count < len(s.Values) {
			errs = append(errs, fmt.Errorf("at, count: found %d and %d (want none, and at least the %d values)", len(s.At), s.Count, len(s.Values)))
		}
	default:
		errs = append(errs, fmt.Errorf("kind: found %q (want %s, %s or %s)", s.Kind, Amounts, Levels, Distribution))
	}
	return errors.Join(errs...)
}

// seriesTypes hold the unit and kind of each metric of which there are series.
type seriesTypes map[string]string

// check reports a series that has another unit or kind than others of its metric.
func (t seriesTypes) check(s Series) error {
	own := s.Unit + ", " + string(s.Kind)
	if other, ok := t[s.Metric]; ok && other != own {
		return fmt.Errorf("unit, kind: %s, but other series of %s have %s", own, s.Metric, other)
	}
	t[s.Metric] = own
	return nil
}
