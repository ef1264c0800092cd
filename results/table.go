package results

import (
	"fmt"
	"slices"
)

// Cell is a cell of the table of slides 12 and 21: whether an approach keeps something.
type Cell struct {
	// Measured is yes or no; empty if it was not measured.
	Measured string `json:"measured"`
	// Slide is what the slide says: the same, unless an expectation says that it differs or was broken.
	Slide string `json:"slide"`
	// Why is there where the two differ.
	Why string `json:"why,omitempty"`
	// Expectation is the id of the expectation that holds the two against each other: `results show` has its evidence.
	Expectation string `json:"expectation"`
}

// Row is an approach.
type Row struct {
	Approach string          `json:"approach"` // the run's variant
	Cells    map[string]Cell `json:"cells"`    // by column
}

// Table is the table of slides 12 and 21 as a run measured it.
type Table struct {
	Run     string   `json:"run"`
	Columns []string `json:"columns"`
	Rows    []Row    `json:"rows"`
}

// cellMetric is the metric whose samples are cells, and columnLabel the label that names the column.
const (
	cellMetric  = "cell"
	columnLabel = "column"
)

// TableOf puts a run's cells together, rows and columns in the order of its expectations.
func TableOf(run *Run) (Table, error) {
	table := Table{Run: run.Manifest.Run}
	summary := Summarize(run)
	for _, e := range summary.Expectations {
		column := e.Labels[columnLabel]
		if e.Metric != cellMetric || column == "" {
			continue
		}
		if !slices.Contains(table.Columns, column) {
			table.Columns = append(table.Columns, column)
		}
		i := slices.IndexFunc(table.Rows, func(r Row) bool { return r.Approach == e.Variant })
		if i < 0 {
			i = len(table.Rows)
			table.Rows = append(table.Rows, Row{e.Variant, map[string]Cell{}})
		}
		table.Rows[i].Cells[column] = summary.cell(e)
	}
	if len(table.Rows) == 0 {
		return Table{}, fmt.Errorf("run %s has no cells of the table: lab 07-full-picture measures them", run.Manifest.Run)
	}
	return table, nil
}

func (s Summary) cell(e ExpectationOutcome) Cell {
	cell := Cell{Expectation: e.ID, Why: e.Differs}
	m, ok := s.Find(e.Variant, e.Metric, e.Labels)
	if !ok || m.Median == nil {
		cell.Why = e.Evidence
		return cell
	}
	words := []string{"no", "yes"}
	measured := 0
	if *m.Median == 1 {
		measured = 1
	}
	slide := measured
	if e.Outcome == Broken || e.Differs != "" {
		slide = 1 - measured
	}
	cell.Measured, cell.Slide = words[measured], words[slide]
	if e.Outcome == Broken {
		cell.Why = e.found()
	}
	return cell
}

// String is what was measured, with what the slide says where that is something else.
func (c Cell) String() string {
	switch {
	case c.Measured == "":
		return "not measured"
	case c.Measured != c.Slide:
		return c.Measured + " (slide: " + c.Slide + ")"
	}
	return c.Measured
}
