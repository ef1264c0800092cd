package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
)

// report is all that is found out, and what is written as JSON.
type report struct {
	Date         time.Time        `json:"date"`
	Revision     results.Revision `json:"revision"` // of the program that ran the labs
	Machine      machine          `json:"machine"`
	Summary      summary          `json:"summary"`
	Runs         []labRun         `json:"runs"`
	Expectations []*expectation   `json:"expectations"`

	disturbances []disturbance
	labs         []*labs.Lab
}

// machine is what the labs ran on, as their runs recorded it.
type machine struct {
	CPUs     int    `json:"cpus"`
	CPUModel string `json:"cpuModel"`
	Kernel   string `json:"kernel"`
}

// summary is what documents quote.
type summary struct {
	Labs         int                 `json:"labs"`
	Runs         int                 `json:"runs"`
	Disturbances []disturbanceTotals `json:"disturbances"`
	// Expectations that apply on this substrate, each of which has a bound. Exact are those whose values were the same in each run, Broken and
	// NotMeasured those that were broken, or not measured, at least once.
	Expectations int `json:"expectations"`
	Exact        int `json:"exact"`
	Broken       int `json:"broken"`
	NotMeasured  int `json:"notMeasured"`
	// Tightest is the expectation with the least room; nil if none has a spread.
	Tightest *expectation `json:"tightest,omitempty"`
}

// disturbanceTotals is what became of the runs under one disturbance.
type disturbanceTotals struct {
	Name string `json:"name"`
	// Loops are busy loops; OneCPU is for labs that had CPU 0 only.
	Loops  int  `json:"loops,omitempty"`
	OneCPU bool `json:"oneCPU,omitempty"`
	Runs   int  `json:"runs"`
	Passed int  `json:"passed"`
	// Scales counts the runs with limited links by their scale.
	Scales map[string]int `json:"scales"`
}

func newReport(o *options) *report {
	return &report{
		Date: time.Now().UTC().Truncate(time.Second), Runs: []labRun{}, Expectations: []*expectation{}, disturbances: o.disturbances, labs: o.labs,
	}
}

// add counts a run. The record is nil if there is none: then nothing of it was measured.
func (r *report) add(lab *labs.Lab, one labRun, record *results.Run) {
	r.Runs = append(r.Runs, one)
	if record == nil {
		return
	}
	if r.Machine == (machine{}) {
		m := record.Environment.Before
		r.Machine = machine{CPUs: m.CPUs, CPUModel: strings.TrimSpace(m.CPUModel), Kernel: m.Kernel}
		r.Revision = record.Manifest.Revision
	}
	for _, o := range labs.Observe(lab, record) {
		e := r.expectation(lab, o.ID)
		if o.Unit != "" {
			e.Unit = o.Unit
		}
		e.count(o.Outcome, value{o.Value / o.Factor, one.Run, one.Disturbance})
	}
}

// expectation is what is known of one.
func (r *report) expectation(lab *labs.Lab, id string) *expectation {
	for _, e := range r.Expectations {
		if e.Lab == lab.Metadata.Name && e.ID == id {
			return e
		}
	}
	e := &expectation{Lab: lab.Metadata.Name, ID: id}
	for _, own := range lab.Spec.Expectations {
		if own.ID == id {
			e.Text, e.AtLeast, e.AtMost = own.Text, own.AtLeast, own.AtMost
		}
	}
	r.Expectations = append(r.Expectations, e)
	return e
}

// summarize derives all that follows from the runs.
func (r *report) summarize() {
	s := summary{Labs: len(r.labs), Runs: len(r.Runs), Expectations: len(r.Expectations)}
	for _, e := range r.Expectations {
		e.NotMeasured += r.runsOf(e.Lab) - e.Held - e.Broken - e.NotMeasured // runs without a record
		e.summarize()
		if e.Exact {
			s.Exact++
		}
		if e.Broken > 0 {
			s.Broken++
		}
		if e.NotMeasured > 0 {
			s.NotMeasured++
		}
		if e.Room != nil && (s.Tightest == nil || *e.Room < *s.Tightest.Room) {
			s.Tightest = e
		}
	}
	for _, d := range r.disturbances {
		s.Disturbances = append(s.Disturbances, r.totals(d))
	}
	slices.SortStableFunc(r.Expectations, func(a, b *expectation) int { return strings.Compare(a.Lab, b.Lab) })
	r.Summary = s
}

func (r *report) runsOf(lab string) int {
	n := 0
	for _, one := range r.Runs {
		if one.Lab == lab {
			n++
		}
	}
	return n
}

func (r *report) totals(d disturbance) disturbanceTotals {
	t := disturbanceTotals{Name: d.name, Loops: d.loops, OneCPU: d.oneCPU, Scales: map[string]int{}}
	for _, one := range r.Runs {
		if one.Disturbance != d.name {
			continue
		}
		t.Runs++
		if one.Result == results.Passed {
			t.Passed++
		}
		if one.Scale != "" {
			t.Scales[one.Scale]++
		}
	}
	return t
}

// exitCode is that of the program.
func (r *report) exitCode() int {
	code := exitRoom
	for _, one := range r.Runs {
		if one.Result != results.Passed && one.Result != results.Unsupported {
			code = exitNotMeasured
		}
	}
	for _, e := range r.Expectations {
		if e.tight() {
			return exitTight
		}
	}
	return code
}

// save writes the report as JSON, whole or not at all.
func (r *report) save(file string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(file, append(data, '\n'), 0o644, renameio.WithTempDir(filepath.Dir(file)))
}
