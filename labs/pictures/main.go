// Command pictures draws the picture that proves each lab's answer from its reference run, beside the lab's README, which shows it.
// Run it as `make docs`, or `go generate ./labs/pictures`.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/report"
)

//go:generate go run .

// file is the picture's name in each lab's folder.
const file = "measured.svg"

func main() {
	if err := draw(".."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// draw writes the pictures into the labs' folders in dir.
func draw(dir string) error {
	names, err := labs.Catalogue()
	if err != nil {
		return err
	}
	for _, name := range names {
		var svg bytes.Buffer
		if err := picture(&svg, name); err != nil {
			return fmt.Errorf("draw %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, file), svg.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// picture writes the first picture of a lab. It follows the reader's light or dark theme.
func picture(w io.Writer, lab string) error {
	run, err := results.Store{Reference: results.Reference()}.Find(lab) // and never one that was recorded here
	if err != nil {
		return err
	}
	charts := report.StoryCharts(run, labs.StoryOf(run))
	if len(charts) == 0 {
		return fmt.Errorf("run %s has nothing to draw", run.Manifest.Run)
	}
	return charts[0].SVG(w, report.Auto)
}
