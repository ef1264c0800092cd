package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// result is a line of the report.
type result struct {
	kernel  string // as it was asked for
	version string // of the Debian package
	suite   string
	took    time.Duration // from boot to power-off
	// accelerator of QEMU; how long all took depends on it
	accelerator string
	verdict     verdict
	err         error // why the kernel could not be tried
}

// report writes what failed and was skipped, then a line for each kernel, and returns the exit code.
func report(out io.Writer, results []result) int {
	code := exitPassed
	t := table.NewWriter()
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"Kernel", "Release", "Suite", "Passed", "Failed", "Skipped", "Demo", "Time", "QEMU", "Result"})
	for _, r := range results {
		v := r.verdict
		for _, f := range v.skipped {
			f.write(out, r.kernel)
		}
		for _, f := range v.failures {
			f.write(out, r.kernel)
		}
		word := "passed"
		switch {
		case r.err != nil:
			fmt.Fprintf(out, "NOT TESTED on %s: %s\n", r.kernel, r.err)
			word = "NOT TESTED"
			if code == exitPassed {
				code = exitNotTested
			}
		case len(v.failures) > 0:
			word, code = "FAILED", exitFailed
		}
		release := v.release
		if release == "" {
			release = r.version
		}
		t.AppendRow(table.Row{r.kernel, release, r.suite, v.passed, len(v.failures), len(v.skipped), v.demo, r.took.Round(time.Second), r.accelerator, word})
	}
	t.Render()
	return code
}

func (f finding) write(out io.Writer, kernel string) {
	head := kernel
	if f.test != "" {
		head += ": " + f.test
	}
	fmt.Fprintf(out, "%s: %s\n", head, f.what)
	for line := range strings.Lines(f.text) {
		fmt.Fprintf(out, "    %s\n", strings.TrimRight(line, "\n"))
	}
}
