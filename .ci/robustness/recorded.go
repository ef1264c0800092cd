package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
)

// recorded is a folder of run folders that were recorded under a disturbance before.
type recorded struct {
	disturbance disturbance
	folder      string
}

// parseRecorded reads DISTURBANCE=FOLDER.
func parseRecorded(text string) (recorded, error) {
	name, folder, found := strings.Cut(text, "=")
	if !found || folder == "" {
		return recorded{}, fmt.Errorf("found %q (want DISTURBANCE=FOLDER)", text)
	}
	d, err := parseDisturbance(name)
	return recorded{d, folder}, err
}

// judgeRecorded reports on runs that exist: those of the labs that were asked for, in folders of runs. It fails if a folder can't be listed,
// or a run in it can't be read.
func (o *options) judgeRecorded(progress io.Writer) (*report, error) {
	r := newReport(o)
	r.disturbances = nil
	for _, folder := range o.recorded {
		r.addDisturbance(folder.disturbance)
		entries, err := os.ReadDir(folder.folder)
		if err != nil {
			return nil, fmt.Errorf("list recorded runs: %w", err)
		}
		for _, entry := range entries {
			record, err := results.Open(filepath.Join(folder.folder, entry.Name()))
			if err != nil {
				return nil, fmt.Errorf("read recorded run: %w", err)
			}
			lab := o.labNamed(record.Manifest.Lab)
			if lab == nil {
				continue
			}
			verdicts := results.Verdicts(record)
			one := labRun{
				Run: record.Manifest.Run, Lab: lab.Metadata.Name, Disturbance: folder.disturbance.name, Result: verdicts.Result,
				Scale: record.Manifest.Scale, Reason: firstOf(verdicts.Reasons),
			}
			if !record.Manifest.Ended.IsZero() {
				one.Seconds = record.Manifest.Ended.Sub(record.Manifest.Started).Round(time.Second / 10).Seconds()
			}
			r.add(lab, one, record)
			fmt.Fprintf(progress, "%s under %s: %s\n", one.Lab, one.Disturbance, one.describe())
		}
	}
	r.summarize()
	return r, nil
}

// addDisturbance adds one to those that the report has totals of, unless it is there.
func (r *report) addDisturbance(d disturbance) {
	if !slices.Contains(r.disturbances, d) {
		r.disturbances = append(r.disturbances, d)
	}
}

// labNamed is the lab of that name among those that were asked for, nil if it isn't.
func (o *options) labNamed(name string) *labs.Lab {
	i := slices.IndexFunc(o.labs, func(l *labs.Lab) bool { return l.Metadata.Name == name })
	if i < 0 {
		return nil
	}
	return o.labs[i]
}
