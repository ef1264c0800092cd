package main

import (
	"cmp"
	"math"
	"slices"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
)

const (
	// enoughRoom is what values must stay clear of their bound, in units of their spread.
	enoughRoom = 2
	// sameValue is how much of their mean values may differ by and still be the same: what floating point makes of equal ratios.
	sameValue = 1e-9
)

// expectation is what all runs showed for one expectation of a lab. Its values are at scale 1: those of a rate are divided by what the
// scale has multiplied the bounds by.
type expectation struct {
	Lab  string `json:"lab"`
	ID   string `json:"id"`
	Text string `json:"text"`
	// Unit of the bounds and values.
	Unit    string   `json:"unit,omitempty"`
	AtLeast *float64 `json:"atLeast,omitempty"`
	AtMost  *float64 `json:"atMost,omitempty"`
	// Held, Broken and NotMeasured count runs.
	Held        int `json:"held"`
	Broken      int `json:"broken"`
	NotMeasured int `json:"notMeasured"`
	// Min, Max and Mean of the values; nil without one. Spread is their sample standard deviation, nil with fewer than two.
	Min    *float64 `json:"min,omitempty"`
	Max    *float64 `json:"max,omitempty"`
	Mean   *float64 `json:"mean,omitempty"`
	Spread *float64 `json:"spread,omitempty"`
	// Exact is for values that were the same in each run, as protocol rules make them, and hold.
	Exact bool `json:"exact,omitempty"`
	// Room is the distance of the nearest value to its bound, in units of the spread; negative if it is beyond the bound. It is nil without a
	// spread that is more than 0.
	Room *float64 `json:"room,omitempty"`
	// Nearest is the value that is nearest to a bound, or farthest beyond it.
	Nearest *value `json:"nearest,omitempty"`

	values []value
}

// value is what one run showed.
type value struct {
	Value       float64 `json:"value"`
	Run         string  `json:"run"`
	Disturbance string  `json:"disturbance"`
}

// count adds what a run showed, and its value if it has one.
func (e *expectation) count(outcome results.Outcome, v value) {
	switch outcome {
	case results.Held:
		e.Held++
	case results.Broken:
		e.Broken++
	default:
		e.NotMeasured++
		return
	}
	e.values = append(e.values, v)
}

// clearance is how far a value is on the right side of the bound that it is nearest to; negative if it is beyond it.
func (e *expectation) clearance(v float64) float64 {
	clear := math.Inf(1)
	if e.AtLeast != nil {
		clear = min(clear, v-*e.AtLeast)
	}
	if e.AtMost != nil {
		clear = min(clear, *e.AtMost-v)
	}
	return clear
}

// summarize derives the statistics of all values.
func (e *expectation) summarize() {
	if len(e.values) == 0 {
		return
	}
	var all []float64
	for _, v := range e.values {
		all = append(all, v.Value)
	}
	lowest, highest, mean, spread := slices.Min(all), slices.Max(all), stats.Mean(all), stats.StdDev(all)
	nearest := slices.MinFunc(e.values, func(a, b value) int { return cmp.Compare(e.clearance(a.Value), e.clearance(b.Value)) })
	e.Min, e.Max, e.Mean, e.Nearest = &lowest, &highest, &mean, &nearest
	if len(all) < 2 {
		return
	}
	e.Spread = &spread
	clear := e.clearance(nearest.Value)
	if spread <= sameValue*math.Abs(mean) {
		e.Exact = clear >= 0
		return
	}
	room := clear / spread
	e.Room = &room
}

// tight reports whether the expectation was broken, or its values come nearer to a bound than they should.
func (e *expectation) tight() bool {
	return e.Broken > 0 || e.Room != nil && *e.Room < enoughRoom
}
