package report

import (
	"fmt"
	"io"

	"github.com/dsrlab/dsrlab/results"
)

// Told is a run and its lab's story.
type Told struct {
	Run   *results.Run
	Story Story
	// Reference is set if it is a reference run.
	Reference bool
}

// allView is what the templates of a page of all labs see.
type allView struct {
	Table *cellTable
	Runs  []toldView
	// Missing are labs of which there is no run.
	Missing []string
}

type toldView struct {
	view
	// Source says which run it is, and on what it ran.
	Source string
}

// AllHTML writes one page for the runs of many labs, one run of each: the table of slides 12 and 21, if one of them measured it, and of each
// run the story with its evidence. It needs nothing else, as HTML.
func AllHTML(w io.Writer, runs []Told, missing []string) error {
	v, err := newAllView(runs, missing, drawn)
	if err != nil {
		return err
	}
	if err := writePage(w, "all.tmpl", v); err != nil {
		return fmt.Errorf("write html report of all labs: %w", err)
	}
	return nil
}

// AllMarkdown writes the same as AllHTML, with tables for pictures.
func AllMarkdown(w io.Writer, runs []Told, missing []string) error {
	v, err := newAllView(runs, missing, tabled)
	if err != nil {
		return err
	}
	if err := writeText(w, "markdown_all.tmpl", v); err != nil {
		return fmt.Errorf("write markdown report of all labs: %w", err)
	}
	return nil
}

func newAllView(runs []Told, missing []string, draw func(Chart) (pictureView, error)) (allView, error) {
	all := allView{Missing: missing}
	for _, told := range runs {
		v, err := newStoryView(told.Run, told.Story, draw)
		if err != nil {
			return allView{}, err
		}
		if v.Table != nil && all.Table == nil {
			all.Table = v.Table
		}
		m, before := told.Run.Manifest, told.Run.Environment.Before
		source := fmt.Sprintf("Run %s on %s, Linux %s, %d × %s.", m.Run, m.On(), before.Kernel, before.CPUs, before.CPUModel)
		if told.Reference {
			source += " It is a reference run."
		}
		all.Runs = append(all.Runs, toldView{v, source})
	}
	return all, nil
}
