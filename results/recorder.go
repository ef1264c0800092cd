package results

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// Config says where and what to record.
type Config struct {
	// Dir is the folder of all runs; it is made when missing, and the run gets a folder of its own in it.
	Dir string
	// Manifest of the run. Schema, Run, Revision and Started are filled in where they are empty.
	Manifest Manifest
	// Environment reads the machine's state (default ReadEnvironment).
	Environment func() Environment
	// Now is the clock (default time.Now).
	Now func() time.Time
}

// Recorder writes a run folder. Each sample and event is one write to a file opened for appending, so what was recorded
// before a crash is there after it, and a folder that was never closed reads back as unfinished. All methods may be
// called from several goroutines.
type Recorder struct {
	dir      string
	config   Config
	mu       sync.Mutex
	manifest Manifest
	env      Environments
	samples  *os.File
	events   *os.File
	series   *os.File          // nil until there is a series
	units    map[string]string // metric -> unit
	types    seriesTypes
	closed   bool
	failed   error // the first write that went wrong
}

var errClosed = errors.New("the run is closed")

// Create makes the folder of a new run and writes what is known before it starts.
func Create(config Config) (*Recorder, error) {
	if config.Environment == nil {
		config.Environment = ReadEnvironment
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	m := config.Manifest
	m.Schema, m.Ended, m.Interrupted, m.Reported, m.Reason = Schema, time.Time{}, false, "", ""
	if m.Started.IsZero() {
		m.Started = config.Now()
	}
	if m.Run == "" {
		id, err := NewRunID(m.Started, m.Lab, rand.Reader)
		if err != nil {
			return nil, err
		}
		m.Run = id
	}
	if m.Revision == (Revision{}) {
		m.Revision = BuildRevision()
	}
	claims, err := LoadClaims()
	if err != nil {
		return nil, err
	}
	if err := m.Validate(claims); err != nil {
		return nil, fmt.Errorf("create run: manifest: %w", err)
	}
	r := &Recorder{dir: filepath.Join(config.Dir, m.Run), config: config, manifest: m, units: map[string]string{}, types: seriesTypes{}}
	if err := r.start(); err != nil {
		return nil, fmt.Errorf("create run %s: %w", m.Run, err)
	}
	return r, nil
}

func (r *Recorder) start() (err error) {
	if err := os.MkdirAll(r.config.Dir, 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(r.dir, 0o755); err != nil { // an id that exists already is an error
		return err
	}
	if err := os.Mkdir(filepath.Join(r.dir, "raw"), 0o755); err != nil {
		return err
	}
	r.env = Environments{Before: r.config.Environment()}
	if err := errors.Join(r.writeJSON("manifest.json", r.manifest), r.writeJSON("env.json", r.env)); err != nil {
		return err
	}
	if r.samples, err = r.openLines("samples.jsonl"); err != nil {
		return err
	}
	if r.events, err = r.openLines("events.jsonl"); err != nil {
		return errors.Join(err, r.samples.Close())
	}
	return nil
}

// openLines makes a file of JSON lines.
func (r *Recorder) openLines(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(r.dir, name), os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o644)
}

// Dir is the run's folder.
func (r *Recorder) Dir() string { return r.dir }

// AddSample appends a measured value. It refuses what could not be reported later: a variant that the manifest does not
// have, a metric with two units, a value that is no number without a reason.
func (r *Recorder) AddSample(s Sample) error {
	if s.Time.IsZero() {
		s.Time = r.config.Now()
	}
	if err := s.check(r.manifest.Variants); err != nil {
		return fmt.Errorf("add sample of %q: %w", s.Metric, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if unit, ok := r.units[s.Metric]; ok && unit != s.Unit {
		return fmt.Errorf("add sample of %q: unit: %q, but other samples have %q", s.Metric, s.Unit, unit)
	}
	if err := r.appendLine(r.samples, s); err != nil {
		return fmt.Errorf("add sample of %q: %w", s.Metric, err)
	}
	r.units[s.Metric] = s.Unit
	return nil
}

// AddSeries appends how something went over time, or how it was distributed, in a file that runs without any do not have. It refuses what
// could not be reported later, as AddSample does.
func (r *Recorder) AddSeries(s Series) error {
	if err := s.check(r.manifest.Variants); err != nil {
		return fmt.Errorf("add series of %q: %w", s.Metric, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.types.check(s)
	if err == nil && r.series == nil && !r.closed {
		r.series, err = r.openLines("series.jsonl")
	}
	if err == nil {
		err = r.appendLine(r.series, s)
	}
	if err != nil {
		return fmt.Errorf("add series of %q: %w", s.Metric, err)
	}
	return nil
}

// AddEvent appends something that happened. Data is encoded as JSON; nil for none.
func (r *Recorder) AddEvent(kind EventKind, message string, data any) error {
	if kind == "" {
		return errors.New("add event: kind is empty")
	}
	if kind == EventExpectation || kind == EventVerdict {
		return fmt.Errorf("add event: kind %s is written by Expect and Verdict", kind)
	}
	return r.addEvent(kind, message, data)
}

func (r *Recorder) addEvent(kind EventKind, message string, data any) error {
	event := Event{Time: r.config.Now(), Kind: kind, Message: message}
	if data != nil {
		raw, err := json.Marshal(data)
		if err != nil {
			return fmt.Errorf("add event %s: %w", kind, err)
		}
		event.Data = raw
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.appendLine(r.events, event); err != nil {
		return fmt.Errorf("add event %s: %w", kind, err)
	}
	return nil
}

// Expect records how an expectation of the manifest went, with the evidence. It may be recorded several times (once a
// repetition, say): it held only if it held each time.
func (r *Recorder) Expect(id string, outcome Outcome, evidence string) error {
	return r.ExpectWith(id, outcome, evidence, "")
}

// ExpectWith is Expect with a headline: the evidence in a few words, with human units, for the one line that claims have. Without
// one a claim's line is made of the headlines of its other expectations or, if none has one, of what was measured.
func (r *Recorder) ExpectWith(id string, outcome Outcome, evidence, headline string) error {
	if _, ok := r.manifest.expectation(id); !ok {
		return fmt.Errorf("record expectation: %q is not in the manifest", id)
	}
	if !outcome.known() {
		return fmt.Errorf("record expectation %s: outcome %q, want %s, %s or %s", id, outcome, Held, Broken, NotRun)
	}
	if evidence == "" {
		return fmt.Errorf("record expectation %s: evidence is empty", id)
	}
	return r.addEvent(EventExpectation, evidence, expectationData{id, outcome, headline})
}

// Verdict records what the lab itself concludes about a claim, with the evidence: needed where the measurement rightly
// differs from the slide although every expectation held. It cannot improve on what the expectations say.
func (r *Recorder) Verdict(claim string, verdict Verdict, evidence string) error {
	found := false
	for _, id := range r.manifest.Claims {
		found = found || id == claim
	}
	if !found {
		return fmt.Errorf("record verdict: claim %q is not in the manifest", claim)
	}
	if !verdict.known() {
		return fmt.Errorf("record verdict on %s: %q is no verdict", claim, verdict)
	}
	if evidence == "" {
		return fmt.Errorf("record verdict on %s: evidence is empty", claim)
	}
	return r.addEvent(EventVerdict, evidence, verdictData{claim, verdict})
}

// Describe adds data of the lab to env.json: offloads, qdiscs, versions of other programs.
func (r *Recorder) Describe(key string, value any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fmt.Errorf("describe %s: %w", key, errClosed)
	}
	if r.env.Lab == nil {
		r.env.Lab = map[string]any{}
	}
	before, had := r.env.Lab[key]
	r.env.Lab[key] = value
	if err := r.writeJSON("env.json", r.env); err != nil {
		delete(r.env.Lab, key)
		if had {
			r.env.Lab[key] = before
		}
		return fmt.Errorf("describe %s: %w", key, err)
	}
	return nil
}

// SetScale records the scale of the links' rates, which is known when the topology stands, and how it was found.
func (r *Recorder) SetScale(scale, reason string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fmt.Errorf("set scale: %w", errClosed)
	}
	r.manifest.Scale, r.manifest.ScaleReason = scale, reason
	if err := r.writeJSON("manifest.json", r.manifest); err != nil {
		return fmt.Errorf("set scale: %w", err)
	}
	return nil
}

// Interrupt marks the run as one that ends before its last trial. It never stands in for a finished one.
func (r *Recorder) Interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manifest.Interrupted = true // Close writes it
}

// RawFile makes a file in raw/ for a capture or a log; the caller writes and closes it. A name may have folders
// (captures/lb.pcapng) and is used once.
func (r *Recorder) RawFile(name string) (*os.File, error) {
	if !filepath.IsLocal(name) || filepath.Clean(name) == "." {
		return nil, fmt.Errorf("create raw file: %q must stay below raw/", name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("create raw file %s: %w", name, errClosed)
	}
	path := filepath.Join(r.dir, "raw", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create raw file: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create raw file: %w", err)
	}
	return file, nil
}

// Close ends the run: it records the machine's state after it, when it ended and what the lab reports, and writes and
// returns the summary. The reported result needs a reason unless it is Passed, and can only make the summary's worse.
func (r *Recorder) Close(reported Result, reason string) (Summary, error) {
	if !reported.known() {
		return Summary{}, fmt.Errorf("close run: %q is no result", reported)
	}
	if (reason == "") != (reported == Passed) {
		return Summary{}, fmt.Errorf("close run: result %s with reason %q; every result but %s has one", reported, reason, Passed)
	}
	if err := r.finish(reported, reason); err != nil {
		return Summary{}, fmt.Errorf("close run %s: %w", r.manifest.Run, err)
	}
	run, err := Open(r.dir)
	if err != nil {
		return Summary{}, fmt.Errorf("close run: %w", err)
	}
	summary := Summarize(run)
	if err := r.writeJSON("summary.json", summary); err != nil {
		return summary, fmt.Errorf("close run %s: %w", r.manifest.Run, err)
	}
	return summary, nil
}

func (r *Recorder) finish(reported Result, reason string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	r.closed = true
	err := r.failed
	for _, file := range []*os.File{r.samples, r.events, r.series} {
		if file != nil {
			err = errors.Join(err, file.Sync(), file.Close())
		}
	}
	if err != nil {
		return err // the folder stays unfinished: its data is not complete
	}
	after := r.config.Environment()
	r.env.After = &after
	if err := r.writeJSON("env.json", r.env); err != nil {
		return err
	}
	r.manifest.Ended, r.manifest.Reported, r.manifest.Reason = r.config.Now(), reported, reason
	return r.writeJSON("manifest.json", r.manifest) // last: it is what makes the run finished
}

// appendLine writes one line at once; the caller holds the lock.
func (r *Recorder) appendLine(file *os.File, value any) error {
	if r.closed {
		return errClosed
	}
	line, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if r.failed != nil {
		return r.failed // a line after a torn one would be glued to it
	}
	if _, err := file.Write(append(line, '\n')); err != nil {
		r.failed = err
		return err
	}
	return nil
}

// writeJSON replaces a file as a whole or not at all.
func (r *Recorder) writeJSON(name string, value any) error {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	path := filepath.Join(r.dir, name)
	err := renameio.WriteFile(path, buffer.Bytes(), 0o644, renameio.WithTempDir(r.dir), renameio.IgnoreUmask())
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
