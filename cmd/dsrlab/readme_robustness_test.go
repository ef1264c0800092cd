package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// robustness is what the README quotes of results/reference/robustness.json, which `make robustness` writes.
type robustness struct {
	Date    time.Time `json:"date"`
	Machine struct {
		CPUs     int    `json:"cpus"`
		CPUModel string `json:"cpuModel"`
		Kernel   string `json:"kernel"`
	} `json:"machine"`
	Summary struct {
		Labs         int `json:"labs"`
		Runs         int `json:"runs"`
		Disturbances []struct {
			Loops  int  `json:"loops"`
			OneCPU bool `json:"oneCPU"`
			Runs   int  `json:"runs"`
			Passed int  `json:"passed"`
		} `json:"disturbances"`
		Expectations int `json:"expectations"`
		Exact        int `json:"exact"`
		Broken       int `json:"broken"`
		NotMeasured  int `json:"notMeasured"`
		Tightest     *struct {
			Lab  string  `json:"lab"`
			ID   string  `json:"id"`
			Room float64 `json:"room"`
		} `json:"tightest"`
	} `json:"summary"`
}

// robustnessText is an item of the README's list.
func robustnessText(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../results/reference/robustness.json")
	require.NoError(t, err)
	var r robustness
	require.NoError(t, json.Unmarshal(data, &r))
	return r.text()
}

func (r robustness) text() string {
	s := r.Summary
	var under []string
	for _, d := range s.Disturbances {
		where := "on the idle machine"
		switch {
		case d.OneCPU:
			where = "on one CPU"
		case d.Loops == 1:
			where = "beside a busy loop"
		case d.Loops > 1:
			where = fmt.Sprintf("beside %d busy loops", d.Loops)
		}
		under = append(under, fmt.Sprintf("%d of %d %s", d.Passed, d.Runs, where))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "- Expectations have margin. `make robustness` judged %d runs of %s. Passed:\n  %s.\n", s.Runs, count(s.Labs, "lab"), strings.Join(under, ", "))
	if s.Exact == s.Expectations {
		fmt.Fprintf(&b, "  All %d numeric expectations had the same value each time.", s.Expectations)
	} else {
		fmt.Fprintf(&b, "  Of %d numeric expectations %d had the same value each time", s.Expectations, s.Exact)
		if s.Tightest != nil {
			fmt.Fprintf(&b, "; the values of the others stay clear of their bounds by\n  %.1f times their spread or more (least: `%s` of [`%s`](labs/%s))",
				s.Tightest.Room, s.Tightest.ID, s.Tightest.Lab, s.Tightest.Lab)
		}
		b.WriteString(".")
	}
	if s.Broken+s.NotMeasured == 0 {
		b.WriteString(" None was broken, and all were measured in each run.\n")
	} else {
		fmt.Fprintf(&b, " Broken at least once: %d; not measured at least once: %d.\n", s.Broken, s.NotMeasured)
	}
	fmt.Fprintf(&b, "  [All figures](results/reference/robustness.json) are from %s: %d CPUs (%s) under Linux %s.\n",
		r.Date.Format("2 January 2006"), r.Machine.CPUs, r.Machine.CPUModel, r.Machine.Kernel)
	return b.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func TestRobustnessText(t *testing.T) {
	var r robustness
	require.NoError(t, json.Unmarshal([]byte(`{"date": "2026-11-29T02:00:00Z", "machine": {"cpus": 2, "cpuModel": "Imaginary CPU", "kernel": "6.12"},
		"summary": {"labs": 13, "runs": 260, "expectations": 300, "exact": 240, "broken": 1,
		"disturbances": [{"runs": 65, "passed": 65}, {"loops": 1, "runs": 65, "passed": 65}, {"loops": 2, "runs": 65, "passed": 64},
			{"oneCPU": true, "runs": 65, "passed": 63}],
		"tightest": {"lab": "02-throughput", "id": "snat-deep", "room": 2.345}}}`), &r))
	assert.Equal(t, "- Expectations have margin. `make robustness` judged 260 runs of 13 labs. Passed:\n"+
		"  65 of 65 on the idle machine, 65 of 65 beside a busy loop, 64 of 65 beside 2 busy loops, 63 of 65 on one CPU.\n"+
		"  Of 300 numeric expectations 240 had the same value each time; the values of the others stay clear of their bounds by\n"+
		"  2.3 times their spread or more (least: `snat-deep` of [`02-throughput`](labs/02-throughput)). "+
		"Broken at least once: 1; not measured at least once: 0.\n"+
		"  [All figures](results/reference/robustness.json) are from 29 November 2026: 2 CPUs (Imaginary CPU) under Linux 6.12.\n", r.text())
}
