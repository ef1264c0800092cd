package results

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/internal/bounded"
)

// Run is a run folder, read.
type Run struct {
	// Location is where it was read from, for messages and links.
	Location    string
	Manifest    Manifest
	Environment Environments
	Samples     []Sample
	Events      []Event
	// Series are empty in runs that were recorded before there were any.
	Series []Series
	// Raw are the names of the files below raw/; ReadRaw reads them.
	Raw []string
	// Torn counts the unfinished last lines that a crash left in samples.jsonl, events.jsonl and series.jsonl; they
	// are not read.
	Torn int

	files fs.FS // the run's folder
}

// ReadRaw reads a file below raw/, a capture say. One of more than 16 MiB is an error, as is one that is not there.
func (r *Run) ReadRaw(name string) ([]byte, error) {
	if r.files == nil {
		return nil, fmt.Errorf("read raw/%s: %w", name, fs.ErrNotExist) // a run that was put together, not read
	}
	data, err := bounded.ReadFS(r.files, path.Join("raw", name), bounded.Records)
	if err != nil {
		return nil, fmt.Errorf("read raw file: %w", err)
	}
	return data, nil
}

// State is whether a run came to its end.
type State string

const (
	Finished    State = "finished"
	Interrupted State = "interrupted" // it ended before its last trial
	Unfinished  State = "unfinished"  // still running, or it died
)

// State of the run.
func (r *Run) State() State {
	switch {
	case r.Manifest.Ended.IsZero():
		return Unfinished
	case r.Manifest.Interrupted:
		return Interrupted
	}
	return Finished
}

// Open reads the run in a folder of the file system.
func Open(dir string) (*Run, error) {
	return Read(os.DirFS(dir), dir)
}

// Read reads the run at the root of files; location is what messages call it. The folder of a run that crashed is read as
// far as it was written.
func Read(files fs.FS, location string) (*Run, error) {
	run := &Run{Location: location, files: files}
	if err := run.read(files); err != nil {
		return nil, fmt.Errorf("read run %s: %w", location, err)
	}
	return run, nil
}

func (r *Run) read(files fs.FS) error {
	if err := readJSON(files, "manifest.json", &r.Manifest); err != nil {
		return err
	}
	if r.Manifest.Schema != Schema {
		return fmt.Errorf("manifest.json: schema: %q, this program reads %q", r.Manifest.Schema, Schema)
	}
	for i, e := range r.Manifest.Expectations {
		r.Manifest.Expectations[i].Metric = CurrentMetric(e.Metric)
	}
	closed := r.State() != Unfinished
	missing := func(err error) bool { return !closed && errors.Is(err, fs.ErrNotExist) }
	if err := readJSON(files, "env.json", &r.Environment); err != nil && !missing(err) {
		return err
	}
	samples, torn, err := readLines[Sample](files, "samples.jsonl")
	if err != nil && !missing(err) {
		return err
	}
	events, tornEvents, err := readLines[Event](files, "events.jsonl")
	if err != nil && !missing(err) {
		return err
	}
	series, tornSeries, err := readLines[Series](files, "series.jsonl")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // not every run has one
		return err
	}
	r.Samples, r.Events, r.Series, r.Torn = samples, events, series, torn+tornEvents+tornSeries
	if closed && r.Torn > 0 {
		return errors.New("samples.jsonl, events.jsonl or series.jsonl ends within a line, although the run came to its end: it was cut short later")
	}
	if err := r.check(); err != nil {
		return err
	}
	return r.listRaw(files)
}

// check holds samples and series against the manifest, as Recorder does when it writes them.
func (r *Run) check() error {
	units := map[string]string{}
	for i, s := range r.Samples {
		if err := s.check(r.Manifest.Variants); err != nil {
			return fmt.Errorf("samples.jsonl:%d: %w", i+1, err)
		}
		if unit, ok := units[s.Metric]; ok && unit != s.Unit {
			return fmt.Errorf("samples.jsonl:%d: unit: %q, but other samples of %s have %q", i+1, s.Unit, s.Metric, unit)
		}
		units[s.Metric] = s.Unit
	}
	types := seriesTypes{}
	for i, s := range r.Series {
		if err := cmp.Or(s.check(r.Manifest.Variants), types.check(s)); err != nil {
			return fmt.Errorf("series.jsonl:%d: %w", i+1, err)
		}
	}
	return nil
}

func (r *Run) listRaw(files fs.FS) error {
	err := fs.WalkDir(files, "raw", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			r.Raw = append(r.Raw, strings.TrimPrefix(name, "raw/"))
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a committed run may leave its captures out
	}
	return err
}

func readJSON(files fs.FS, name string, into any) error {
	data, err := bounded.ReadFS(files, name, bounded.Records)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readLines reads a file of JSON lines. A last line without its end was torn by a crash: it is counted, not read.
func readLines[T any](files fs.FS, name string) (values []T, torn int, err error) {
	data, err := bounded.ReadFS(files, name, bounded.Records)
	if err != nil {
		return nil, 0, err
	}
	for number := 1; len(data) > 0; number++ {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			return values, 1, nil
		}
		var value T
		if err := json.Unmarshal(line, &value); err != nil {
			return nil, 0, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		values, data = append(values, value), rest
	}
	return values, 0, nil
}

// Metrics are the names of the metrics of the run, in the order in which they were first measured.
func (r *Run) Metrics() []string {
	var names []string
	for _, s := range r.Samples {
		if !slices.Contains(names, s.Metric) {
			names = append(names, s.Metric)
		}
	}
	return names
}
