package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestCheckPair: which ends of two commands at once are as they should be.
func TestCheckPair(t *testing.T) {
	done := end{pid: 1}
	refused := func(by string) end { return end{2, 2, "dsrlab: testbed pair is in use by " + by + ": try again"} }
	for name, test := range map[string]struct {
		a, b end
		want string
	}{
		"both are done":          {done, end{pid: 2}, ""},
		"one is refused":         {done, refused("`dsrlab up` (process 1, since 01:00:00)"), ""},
		"and the other one":      {refused("`dsrlab up` (process 1, since 01:00:00)"), done, ""},
		"who has ended":          {done, refused("another process"), ""},
		"not measured":           {end{1, 4, ""}, refused("`dsrlab lab run 06` (process 1, since 01:00:00)"), ""},
		"another one is named":   {done, refused("`dsrlab up` (process 11, since 01:00:00)"), "one was refused, but not told of process 1: dsrlab: testbed pair is in use by `dsrlab up` (process 11, since 01:00:00): try again"},
		"no reason":              {done, end{2, 2, "bad usage"}, "one was refused, but not told of process 1: bad usage"},
		"one failed":             {end{1, 1, "mkdir: file exists"}, end{pid: 2}, "one ended with exit status 1 (want 0, or 2 and who is at work): mkdir: file exists"},
		"one was killed":         {done, end{2, -1, ""}, "one ended with exit status -1 (want 0, or 2 and who is at work): "},
		"each told of the other": {end{1, 2, "in use by `x` (process 2, since 01:00:00)"}, refused("`y` (process 1, since 01:00:00)"), "both were refused"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := checkPair(test.a, test.b); test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.want)
			}
		})
	}
}

func TestPairs(t *testing.T) {
	for _, p := range pairs("/r", "/s") {
		assert.Contains(t, p.first, "/s")
		assert.Contains(t, p.second, "/s")
		assert.NotEmpty(t, p.testbed)
		assert.False(t, p.stands && p.ends, p.first)
		assert.LessOrEqual(t, p.within, endWithin)
	}
}
