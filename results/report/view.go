// Package report renders recorded runs for people and for other programs: Markdown, HTML, charts, CSV, JUnit. Everything is
// derived from the run's folder and can be rendered again; nothing here measures or decides.
package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/results/units"
)

// view is what the templates of a run see.
type view struct {
	Run          *results.Run
	Summary      results.Summary
	Facts        []fact
	Claims       []claimRow
	Expectations []results.ExpectationOutcome
	Table        *results.Table // of slides 12 and 21, where the run measured it
	Metrics      []metricTable
	Invalid      []invalidRow
	Events       []eventRow
	Machine      []fact
	Lab          string // what the lab knows of its links, as indented JSON
	Method       string
	Total, Valid int
	Charts       []chartView // HTML only
}

type fact struct{ Name, Value string }

type claimRow struct {
	results.ClaimVerdict
	Slide, Text, Figures string
}

type metricTable struct {
	Name, Unit string
	Labelled   bool
	Rows       []metricRow
}

type metricRow struct {
	Variant, Labels, Median, Interval, Spread string
	N, Valid                                  int
}

type invalidRow struct {
	Variant, Metric, Labels, Value, Reason string
	Repetition                             int
}

type eventRow struct{ Time, Kind, Message, Data string }

func newView(run *results.Run) (view, error) {
	claims, err := results.LoadClaims()
	if err != nil {
		return view{}, err
	}
	v := view{Run: run, Summary: results.Summarize(run), Total: len(run.Samples), Method: stats.Method}
	v.Expectations = v.Summary.Expectations
	for _, verdict := range v.Summary.Claims {
		claim, _ := claims.Find(verdict.ID)
		v.Claims = append(v.Claims, claimRow{verdict, claim.Slide(), claim.Text, strings.Join(verdict.Headlines, "; ")})
	}
	if table, err := results.TableOf(run); err == nil { // other labs have no cells
		v.Table = &table
	}
	v.Metrics = metricTables(run)
	for _, s := range run.Samples {
		if s.Valid() {
			v.Valid++
			continue
		}
		v.Invalid = append(v.Invalid, invalidRow{
			s.Variant, s.Metric, results.FormatLabels(s.Labels), units.Format(s.Value, s.Unit), s.Invalid, s.Repetition,
		})
	}
	for _, e := range run.Events {
		v.Events = append(v.Events, eventRow{clock(e.Time, run.Manifest.Started), string(e.Kind), e.Message, string(e.Data)})
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

func metricTables(run *results.Run) []metricTable {
	var tables []metricTable
	for _, group := range run.Groups() {
		if len(tables) == 0 || tables[len(tables)-1].Name != group.Metric {
			tables = append(tables, metricTable{Name: group.Metric, Unit: group.Unit})
		}
		table := &tables[len(tables)-1]
		m := group.Summarize(run.Manifest.Seed)
		row := metricRow{
			Variant: m.Variant, Labels: results.FormatLabels(m.Labels), Median: Median(m), Interval: Interval(m), N: m.N, Valid: m.Valid, Spread: "–",
		}
		if cv := stats.CV(group.Values()); cv == cv { // not NaN
			row.Spread = fmt.Sprintf("%.1f %%", cv*100)
		}
		table.Labelled = table.Labelled || row.Labels != ""
		table.Rows = append(table.Rows, row)
	}
	return tables
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
