package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/download"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/topologies"
)

// DownloadsStep keeps many slow downloads running while LB nodes fail and join, and pods drain.
// Samples: running (downloads in progress at the first event), completed (ratio of all); and for each event, labelled with it,
// survived (ratio) and lost (downloads) of those that were in progress, and longest_gap_p99 (s) of those that completed.
// Series over time for each event, labelled with it, too: surviving (downloads), of those that were in progress.
type DownloadsStep struct {
	From string         `json:"from"`
	To   testbed.Target `json:"to"`
	// Count is the number of parallel downloads, each at Rate for Length.
	Count  int             `json:"count"`
	Rate   topologies.Rate `json:"rate"`
	Length Duration        `json:"length"`
	// Stall is how long a download may receive nothing before it is given up (default 3s).
	Stall Duration `json:"stall,omitempty"`
	// Without is an LB node that is down when the downloads begin. What breaks when it joins shows only on downloads that began
	// without it: those that survived its failure keep their pods.
	Without string `json:"without,omitempty"`
	// Again starts another download for each that ends before the last event.
	Again  bool    `json:"again,omitempty"`
	Events []Event `json:"events"`
}

// Event is something that happens to a node or pod; exactly one of its names is set.
type Event struct {
	// After is the time since all downloads were in progress.
	After Duration `json:"after"`
	// Fail is the LB node that fails; Join the one that returns, with an empty data path.
	Fail string `json:"fail,omitempty"`
	Join string `json:"join,omitempty"`
	// Detection is how long the router keeps sending to the failed LB node.
	Detection Duration `json:"detection,omitempty"`
	// Drain is the pod that gets no new connections; Return the one that gets them again.
	Drain  string `json:"drain,omitempty"`
	Return string `json:"return,omitempty"`
}

const defaultStall = 3 * time.Second

// kinds returns the node or pod of each kind of event that is set.
func (e Event) kinds() map[string]string {
	all := map[string]string{"fail": e.Fail, "join": e.Join, "drain": e.Drain, "return": e.Return}
	maps.DeleteFunc(all, func(_, name string) bool { return name == "" })
	return all
}

// String is as in "fail lb-2".
func (e Event) String() string {
	for kind, name := range e.kinds() {
		return kind + " " + name
	}
	return "nothing"
}

func (s *DownloadsStep) validate() []error {
	errs := checkCount(s.Count)
	if s.Rate <= 0 || s.Length <= 0 {
		errs = append(errs, errors.New("rate, length: must be given"))
	}
	if len(s.Events) == 0 {
		errs = append(errs, errors.New("events: missing (want at least one)"))
	}
	for i, e := range s.Events {
		if len(e.kinds()) != 1 {
			errs = append(errs, fmt.Errorf("events[%d]: want exactly one of fail, join, drain, return", i))
		}
		if i > 0 && e.After < s.Events[i-1].After {
			errs = append(errs, fmt.Errorf("events[%d].after: want them in the order of their times", i))
		}
		if e.Detection != 0 && e.Fail == "" {
			errs = append(errs, fmt.Errorf("events[%d].detection: only fail has one", i))
		}
	}
	return errs
}

func (s *DownloadsStep) check(n *names.Names) []error {
	errs := append(n.Call(s.From, s.To), names.Optional("without", "LB node", s.Without, n.LBNodes)...)
	for i, e := range s.Events {
		field := fmt.Sprintf("events[%d].", i)
		errs = append(errs, names.Optional(field+"fail", "LB node", e.Fail, n.LBNodes)...)
		errs = append(errs, names.Optional(field+"join", "LB node", e.Join, n.LBNodes)...)
		errs = append(errs, names.Optional(field+"drain", "pod", e.Drain, n.Pods)...)
		errs = append(errs, names.Optional(field+"return", "pod", e.Return, n.Pods)...)
	}
	return errs
}

func (s *DownloadsStep) measures(*names.Names) []Measurement {
	var events []string
	for _, e := range s.Events {
		events = append(events, e.String())
	}
	return append(Measurements(nil, "running", "completed"),
		Measurements(map[string][]string{"event": events}, "survived", "lost", "longest_gap_p99")...)
}

func (s *DownloadsStep) run(ctx context.Context, t *trial.Attempt) (err error) {
	to, err := t.Testbed.Target(s.To, t.Variant)
	if err != nil {
		return err
	}
	o := download.Options{
		Dialer: t.Testbed.Dialer(s.From), Target: to, Count: s.Count, Rate: float64(s.Rate),
		Length: time.Duration(s.Length), Stall: time.Duration(s.Stall), Seed: t.Seed,
	}
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if s.Again {
		o.Duration = math.MaxInt64 // until the last event, whenever that is
	}
	if s.Without != "" {
		if err := edge.FailNode(ctx, t.Testbed, s.Without, 0); err != nil {
			return err
		}
	}
	load, err := download.Start(ctx, o)
	if err != nil {
		return errors.Join(err, restore(ctx, t, s.undone()))
	}
	at, happenErr := s.happen(ctx, t, load)
	load.Last()
	if happenErr != nil {
		load.Stop()
	}
	report := load.Wait()
	return errors.Join(happenErr, restore(ctx, t, s.undone()), s.record(t, report, at))
}

// failsNodes implements nodeFailing.
func (s *DownloadsStep) failsNodes() bool {
	return s.Without != "" || slices.ContainsFunc(s.Events, func(e Event) bool { return e.Fail != "" || e.Join != "" })
}

// undone returns the events that a trial has to undo.
func (s *DownloadsStep) undone() []Event {
	return append([]Event{{Fail: s.Without}}, s.Events...)
}

// happen triggers the events, and returns when each one happened.
func (s *DownloadsStep) happen(ctx context.Context, t *trial.Attempt, load *download.Load) ([]time.Time, error) {
	select {
	case <-load.Ready():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	began := time.Now()
	if err := t.Sample("running", "downloads", float64(load.Running()), nil); err != nil {
		return nil, err
	}
	var at []time.Time
	for _, e := range s.Events {
		select {
		case <-time.After(time.Until(began.Add(time.Duration(e.After)))):
		case <-ctx.Done():
			return at, ctx.Err()
		}
		at = append(at, time.Now())
		if err := let(ctx, t, e); err != nil {
			return at, fmt.Errorf("%v: %w", e, err)
		}
	}
	return at, nil
}

// let triggers one event.
func let(ctx context.Context, t *trial.Attempt, e Event) error {
	switch {
	case e.Fail != "":
		return edge.FailNode(ctx, t.Testbed, e.Fail, time.Duration(e.Detection))
	case e.Join != "":
		return edge.RestartNode(ctx, t.Testbed, e.Join, t.Variant)
	case e.Drain != "":
		return t.Testbed.SetDraining(ctx, t.Variant, e.Drain, true)
	}
	return t.Testbed.SetDraining(ctx, t.Variant, e.Return, false)
}

// restore undoes the events: the next trial begins with all nodes and pods.
func restore(ctx context.Context, t *trial.Attempt, events []Event) error {
	open := make(map[string]Event)
	for _, e := range events {
		switch {
		case e.Fail != "":
			open[e.Fail] = Event{Join: e.Fail}
		case e.Drain != "":
			open[e.Drain] = Event{Return: e.Drain}
		default:
			delete(open, e.Join+e.Return)
		}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(open)) {
		errs = append(errs, let(context.WithoutCancel(ctx), t, open[name]))
	}
	return errors.Join(errs...)
}

// record records the results of the downloads.
func (s *DownloadsStep) record(t *trial.Attempt, r *download.Report, at []time.Time) error {
	all := len(r.Downloads)
	errs := []error{
		t.Sample("completed", "ratio", ratio(r.Ends[download.Completed], max(all, 1)), nil),
		t.Evidence(fmt.Sprintf("%d downloads: %s", all, workload.Tally(r.Ends))),
	}
	for i, when := range at {
		running := r.RunningAt(when)
		if len(running) == 0 {
			errs = append(errs, fmt.Errorf("%v: no download was in progress", s.Events[i]))
			continue
		}
		survived, gaps := 0, []float64{}
		for _, d := range running {
			if d.End == download.Completed {
				survived++
				gaps = append(gaps, d.LongestGap.Seconds())
			}
		}
		labels := map[string]string{"event": s.Events[i].String()}
		errs = append(errs,
			t.Sample("survived", "ratio", ratio(survived, len(running)), labels),
			t.Sample("lost", "downloads", float64(len(running)-survived), labels),
			t.Sample("longest_gap_p99", "s", stats.Percentile(gaps, 99), labels),
			t.Series(survivors(running, when.Sub(r.Began)), labels),
			t.Evidence(fmt.Sprintf("%v: of %d downloads in progress %d were lost", s.Events[i], len(running), len(running)-survived)),
		)
	}
	return errors.Join(errs...)
}

// survivors returns how many of the downloads that were in progress at an event had not been lost, from then until the last of them ended. One
// that completes is not lost.
func survivors(running []download.Download, event time.Duration) results.Series {
	ended := event
	for i := range running {
		ended = max(ended, running[i].Ended)
	}
	var at []time.Duration
	var surviving []float64
	for i := range time.Duration(results.MaxPoints) {
		after := (ended - event) * i / (results.MaxPoints - 1)
		n := len(running)
		for k := range running {
			if since, lost := running[k].Lost(); lost && max(since, event) < event+after {
				n--
			}
		}
		at, surviving = append(at, after), append(surviving, float64(n))
	}
	return results.NewLevels("surviving", "downloads", at, surviving)
}

// series implements serial.
func (s *DownloadsStep) series() []string { return []string{"surviving"} }
