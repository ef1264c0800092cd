package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
)

func number(v float64) *float64 { return &v }

// expectationOf has the values given, of runs that held.
func expectationOf(atLeast, atMost *float64, values ...float64) *expectation {
	e := &expectation{AtLeast: atLeast, AtMost: atMost}
	for _, v := range values {
		e.count(results.Held, value{Value: v})
	}
	return e
}

func TestRoom(t *testing.T) {
	for _, test := range []struct {
		name            string
		e               *expectation
		room, nearest   *float64
		exact, tight    bool
		described, span string
	}{
		{"above a lower bound", expectationOf(number(6), nil, 8, 10, 12), number(1), number(8), false, true, "1.0 !", "8 to 12"},
		{"below an upper bound", expectationOf(nil, number(20), 8, 10, 12), number(4), number(12), false, false, "4.0", "8 to 12"},
		{"between two", expectationOf(number(0), number(13), 8, 10, 12), number(0.5), number(12), false, true, "0.5 !", "8 to 12"},
		{"beyond", expectationOf(number(9), nil, 8, 10, 12), number(-0.5), number(8), false, true, "-0.5 !", "8 to 12"},
		{"the same each time, at its bound", expectationOf(number(1), nil, 1, 1, 1), nil, number(1), true, false, "exact", "1"},
		{"the same each time, but for what floating point adds", expectationOf(nil, number(0.4), 0.1+0.2, 0.3), nil, number(0.1 + 0.2), true, false, "exact", "0.3"},
		{"the same each time, beyond", expectationOf(number(2), nil, 1, 1), nil, number(1), false, false, "-", "1"},
		{"one value", expectationOf(number(1), nil, 5), nil, number(5), false, false, "one value", "5"},
		{"no value", expectationOf(number(1), nil), nil, nil, false, false, "-", "-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.e.summarize()
			assert.Equal(t, test.room, test.e.Room)
			assert.Equal(t, test.exact, test.e.Exact)
			assert.Equal(t, test.tight, test.e.tight())
			assert.Equal(t, test.described, test.e.describeRoom())
			assert.Equal(t, test.span, unitFor(test.e).span(test.e.Min, test.e.Max))
			if test.nearest == nil {
				assert.Nil(t, test.e.Nearest)
				return
			}
			require.NotNil(t, test.e.Nearest)
			assert.Equal(t, *test.nearest, test.e.Nearest.Value)
		})
	}
}

func TestUnits(t *testing.T) {
	for _, test := range []struct{ unit, span, bound string }{
		{"bit/s", "86.1 to 91.25 Mbit/s", "70 to 96"},
		{"ratio", "86100000 to 91250000", "70000000 to 96000000"},
		{"B", "86.1 to 91.25 MB", "70 to 96"},
	} {
		e := expectationOf(number(70e6), number(96e6), 86.1e6, 91.25e6)
		e.Unit = test.unit
		e.summarize()
		u := unitFor(e)
		assert.Equal(t, test.span, u.span(e.Min, e.Max))
		assert.Equal(t, test.bound, u.bound(e))
	}
	e := expectationOf(nil, number(0.1), 0.0012, 0.0034)
	e.Unit = "s"
	e.summarize()
	assert.Equal(t, "1.2 to 3.4 ms", unitFor(e).span(e.Min, e.Max))
	assert.Equal(t, "≤ 100", unitFor(e).bound(e))
}
