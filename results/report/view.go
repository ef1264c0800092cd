// Package report renders recorded runs for people and for other programs: Markdown, HTML, slides, charts, CSV, JUnit. Everything is
// derived from the run's folder and can be rendered again; nothing here measures or decides.
package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/results/units"
)

// view is what the templates of a run see.
type view struct {
	Run     *results.Run
	Summary results.Summary
	// Title, Question and Answer are the story; the first of Pictures proves it, or the table if the run measured it.
	Title, Question, Answer string
	Pictures                []pictureView
	Notes                   []string // why pictures are missing
	Claims                  []claimView
	Facts                   []fact
	Table                   *cellTable // of slides 12 and 21, where the run measured it
	Metrics                 []metricTable
	Invalid                 []invalidRow
	Events                  []eventRow
	Machine                 []fact
	Lab                     string // what the lab knows of its links, as indented JSON
	Method                  string
	Total, Valid            int
	More                    []pictureView // pictures that the lab did not choose
}

// pictureView is a chart as it stands in a page, and as a table where there are no pictures.
type pictureView struct {
	Title, Caption string
	Words          string        // what the chart shows, in figures; HTML only
	SVG            template.HTML // HTML only
	Columns        []string
	Rows           [][]string
	Walk           bool // it is narrow, and its table is of words
}

// cellTable is the table of slides 12 and 21; its cells lead to the evidence.
type cellTable struct {
	results.Table
	Lab string
	// Notes say where a cell differs from the slide, and why.
	Notes []string
}

// Rest are the pictures but the first, which stands with the answer unless the table does.
func (v view) Rest() []pictureView {
	if v.Table != nil || len(v.Pictures) == 0 {
		return v.Pictures
	}
	return v.Pictures[1:]
}

type fact struct{ Name, Value string }

type metricTable struct {
	Name, Title string
	Labels      []string // names
	Rows        []metricRow
}

type metricRow struct {
	Variant                  string
	Labels                   []string // values, in the order of the table's names
	Median, Interval, Spread string
	N, Valid                 int
}

type invalidRow struct {
	Variant, Metric, Labels, Value, Reason string
	Repetition                             int
}

type eventRow struct{ Time, Kind, Message, Data string }

// newView puts together what a report of a run says; draw makes a chart part of it.
func newView(run *results.Run, story Story, draw func(Chart) (pictureView, error)) (view, error) {
	v, err := newStoryView(run, story, draw)
	if err != nil {
		return view{}, err
	}
	if len(story.Pictures) > 0 {
		if v.More, err = pictures(Charts(run), draw); err != nil {
			return view{}, err
		}
	}
	v.Metrics = metricTables(run)
	for _, s := range run.Samples {
		if s.Valid() {
			v.Valid++
			continue
		}
		v.Invalid = append(v.Invalid, invalidRow{
			s.Variant, results.DescribeMetric(s.Metric).Title, labelWords(s.Labels), results.FormatValue(s.Metric, s.Unit, s.Value), s.Invalid, s.Repetition,
		})
	}
	for _, e := range run.Events {
		if e.Kind != results.EventExpectation { // they are evidence, and stand there
			v.Events = append(v.Events, eventRow{clock(e.Time, run.Manifest.Started), string(e.Kind), e.Message, string(e.Data)})
		}
	}
	v.Facts, v.Machine = facts(run), machine(run.Environment)
	if run.Environment.Lab != nil {
		lab, err := json.MarshalIndent(run.Environment.Lab, "", "  ")
		if err != nil {
			return view{}, fmt.Errorf("render env.json: %w", err)
		}
		v.Lab = string(lab)
	}
	return v, nil
}

// newStoryView is the part of a view that a page of many runs shows: from the question to the evidence.
func newStoryView(run *results.Run, story Story, draw func(Chart) (pictureView, error)) (view, error) {
	claims, err := results.LoadClaims()
	if err != nil {
		return view{}, err
	}
	summary := results.Summarize(run)
	v := view{
		Run: run, Summary: summary, Total: len(run.Samples), Method: stats.Method,
		Title: cmp.Or(story.Title, run.Manifest.Lab), Question: story.Question, Answer: story.answer(run, summary),
		Claims: claimViews(run, summary, claims),
	}
	if table, err := results.TableOf(run); err == nil { // other labs have no cells
		v.Table = &cellTable{Table: table, Lab: run.Manifest.Lab}
		for _, row := range table.Rows {
			for _, column := range table.Columns {
				if cell := row.Cells[column]; cell.Why != "" {
					v.Table.Notes = append(v.Table.Notes, row.Approach+", "+column+": "+cell.Why)
				}
			}
		}
	}
	v.Notes = story.notes()
	v.Pictures, err = pictures(StoryCharts(run, story), draw)
	return v, err
}

func pictures(charts []Chart, draw func(Chart) (pictureView, error)) ([]pictureView, error) {
	var views []pictureView
	for _, chart := range charts {
		picture, err := draw(chart)
		if err != nil {
			return nil, err
		}
		views = append(views, picture)
	}
	return views, nil
}

func metricTables(run *results.Run) []metricTable {
	var tables []metricTable
	groups := run.Groups()
	for i, group := range groups {
		if i == 0 || groups[i-1].Metric != group.Metric {
			tables = append(tables, metricTable{Name: group.Metric, Title: capital(results.DescribeMetric(group.Metric).Title), Labels: labelNames(groups, group.Metric)})
		}
		table := &tables[len(tables)-1]
		m := group.Summarize(run.Manifest.Seed)
		row := metricRow{Variant: m.Variant, Median: Median(m), Interval: Interval(m), N: m.N, Valid: m.Valid, Spread: "–"}
		for _, name := range table.Labels {
			row.Labels = append(row.Labels, group.Labels[name])
		}
		if cv := stats.CV(group.Values()); cv == cv { // not NaN
			row.Spread = fmt.Sprintf("%.1f %%", cv*100)
		}
		table.Rows = append(table.Rows, row)
	}
	return tables
}

// labelNames are those of all groups of a metric.
func labelNames(groups []results.Group, metric string) []string {
	all := map[string]string{}
	for _, group := range groups {
		if group.Metric == metric {
			maps.Copy(all, group.Labels)
		}
	}
	return sortedKeys(all)
}

func facts(run *results.Run) []fact {
	m := run.Manifest
	revision := m.Revision.Commit
	if m.Revision.Modified {
		revision += " with changes that are in no commit"
	}
	length := string(run.State())
	if run.State() == results.Finished {
		length = m.Ended.Sub(m.Started).Round(time.Second).String()
	}
	all := []fact{
		{"Run", m.Run}, {"Started", m.Started.UTC().Format("2006-01-02 15:04:05 MST")}, {"Took", length},
		{"Substrate", m.On()}, {"Topology", strings.TrimSpace(m.Topology.Name + " " + short(m.Topology.Hash))},
		{"Scale of the links' rates", scale(m)},
		{"Variants", strings.Join(m.Variants, ", ")}, {"Broken on purpose", results.FormatLabels(m.Faults)}, {"Repetitions", fmt.Sprint(m.Repetitions)},
		{"Revision", revision}, {"Seed", fmt.Sprint(m.Seed)},
	}
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

// scale is the scale of a run with how it was found; empty if its links had the topology's rates.
func scale(m results.Manifest) string {
	if !m.Scaled() {
		return ""
	}
	return strings.TrimSpace(m.Scale + ". " + m.ScaleReason)
}

func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}

func machine(envs results.Environments) []fact {
	e := envs.Before
	loads := func(e results.Environment) string { return strings.Trim(fmt.Sprint(e.Load), "[]") }
	all := []fact{
		{"Kernel", strings.TrimSpace(e.Kernel + " " + e.KernelBuild)}, {"Distribution", e.Distribution},
		{"CPU", strings.TrimSpace(fmt.Sprintf("%d × %s (%s)", e.CPUs, e.CPUModel, e.Architecture))}, {"CPU governor", e.CPUGovernor},
		{"Memory", units.Format(float64(e.MemoryTotal), "B")}, {"Virtual machine or container", virtual(e.Virtual)},
		{"Load before", loads(e)}, {"Clock source", e.Clocksource},
		{"Host's congestion control", fmt.Sprintf("%s (available: %s)", e.Congestion, strings.Join(e.Congestions, ", "))},
		{"Host's default qdisc", e.Qdisc}, {"Go, dsrlab", strings.TrimSpace(e.GoVersion + ", " + e.Version)},
	}
	if envs.After != nil {
		busy, steal := envs.Busy()
		all = append(all, fact{"Load after", loads(*envs.After)},
			fact{"CPU during the run", fmt.Sprintf("%.0f %% busy, %.1f %% stolen by the hypervisor", busy*100, steal*100)})
	}
	for _, name := range sortedKeys(e.Sysctls) {
		all = append(all, fact{name, e.Sysctls[name]})
	}
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

func virtual(v results.Virtual) string {
	var parts []string
	if v.Hypervisor {
		parts = append(parts, "under a hypervisor")
	}
	for _, part := range []struct{ label, value string }{
		{"", v.Product}, {"", v.Container}, {"cpu.max ", v.CPUMax}, {"memory.max ", v.MemoryMax},
	} {
		if part.value != "" {
			parts = append(parts, part.label+part.value)
		}
	}
	return strings.Join(parts, ", ")
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// clock is a time within the run, from its start.
func clock(at, start time.Time) string {
	return fmt.Sprintf("%.1f s", at.Sub(start).Seconds())
}
