package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/dsrlab/dsrlab/results"
)

// report is what a campaign found out. README.md quotes it.
type report struct {
	Campaign string    `json:"campaign"`
	Date     time.Time `json:"date"`
	Version  string    `json:"version"` // of the program that was tried, as it says itself
	Machine  machine   `json:"machine"`
	Seed     uint64    `json:"seed"`
	Seconds  float64   `json:"seconds"`
	Cases    []outcome `json:"cases"`
	// Problems are all that was not as it should be; where there is one, the campaign failed.
	Problems []string `json:"problems,omitempty"`
}

type machine struct {
	CPUs     int    `json:"cpus"`
	CPUModel string `json:"cpuModel"`
	Kernel   string `json:"kernel"`
}

// outcome is what became of one case.
type outcome struct {
	Case string `json:"case"`
	// Tried is how many of Unit there were, Failed how many of them ended otherwise than they should, Bound how many of them may.
	Tried  int    `json:"tried"`
	Unit   string `json:"unit"`
	Failed int    `json:"failed"`
	Bound  int    `json:"bound"`
	// Seen is what users see of it, and Why the reason for the bound.
	Seen string `json:"seen"`
	Why  string `json:"why"`
}

func newReport(campaign string, seed uint64, version string) *report {
	e := results.ReadEnvironment()
	return &report{
		Campaign: campaign, Date: time.Now().UTC().Truncate(time.Second), Version: version, Seed: seed,
		Machine: machine{CPUs: e.CPUs, CPUModel: strings.TrimSpace(e.CPUModel), Kernel: e.Kernel},
	}
}

// add adds a case, which is a problem if more failed than may.
func (r *report) add(o outcome) {
	r.Cases = append(r.Cases, o)
	if o.Failed > o.Bound {
		r.problem("%s: %d of %d %s failed (want %d at most: %s)", o.Case, o.Failed, o.Tried, o.Unit, o.Bound, o.Why)
	}
}

func (r *report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// write shows the report to people.
func (r *report) write(out io.Writer) {
	fmt.Fprintf(out, "\n%s, seed %d, %.0f s\n\n", r.Campaign, r.Seed, r.Seconds)
	for _, o := range r.Cases {
		fmt.Fprintf(out, "  %s: %d %s, %d failed, %d may (%s)\n    %s\n", o.Case, o.Tried, o.Unit, o.Failed, o.Bound, o.Why, o.Seen)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(out, "  PROBLEM: %s\n", p)
	}
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
