package labs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/labs/testbed"
)

func TestRetries(t *testing.T) {
	phase := &Phase{Name: "download"}
	trials := make([]Trial, 5)
	for i := range trials {
		trials[i] = Trial{Phase: phase, Variant: testbed.Variant{Name: "dsr"}, Repetition: i}
	}
	group := trials[0].group()
	steps := func(r *retries, took time.Duration, disturbed ...bool) []decision {
		var all []decision
		for _, d := range disturbed {
			all = append(all, r.after(group, d, took))
		}
		return all
	}
	tests := []struct {
		name      string
		took      time.Duration
		disturbed []bool
		want      []decision
	}{
		{"quiet", time.Second, []bool{false, false}, []decision{goOn, goOn}},
		{"a retry heals", time.Second, []bool{true, false, false}, []decision{retry, goOn, goOn}},
		{"given up after three attempts", time.Second, []bool{true, true, true, false}, []decision{retry, retry, goOn, goOn}},
		{"three of five lost", time.Second, []bool{true, true, true, true, true, true, true, true, true}, []decision{
			retry, retry, goOn, retry, retry, goOn, retry, retry, startOver,
		}},
		{"no time for retries", time.Minute, []bool{true, true, true, true, true}, []decision{retry, goOn, retry, goOn, startOver}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, steps(newRetries(trials), test.took, test.disturbed...))
		})
	}
	assert.Equal(t, []decision{retry, retry, startOver}, steps(newRetries(trials[:1]), time.Second, true, true, true), "the only one of its group")
}
