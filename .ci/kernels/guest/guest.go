// Package guest is what the host and the virtual machine agree on: the plan that the machine's init program reads, and the
// lines by which it tells the host what it did, between the output of the tests and of the demo.
package guest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

const (
	// PlanFile holds the Plan, as JSON.
	PlanFile = "/plan.json"
	// Port is the serial port that carries marks and the output of tests. The kernel's messages go to another one, so that
	// neither cuts the other's lines.
	Port = "/dev/ttyS1"
)

// Plan is what the machine has to do.
type Plan struct {
	Modules   []string `json:"modules"`        // module files, loaded in this order
	Tests     []Test   `json:"tests"`          // run one after another
	Arguments []string `json:"arguments"`      // of each test binary
	Demo      *Demo    `json:"demo,omitempty"` // run after the tests
}

// Test is the test binary of a package.
type Test struct {
	Package string `json:"package"` // folder of the package, from the root of the module
	Folder  string `json:"folder"`  // where it runs; holds its testdata
	Binary  string `json:"binary"`
}

// Demo is a program whose result is on its standard output.
type Demo struct {
	Name    string        `json:"name"` // in the marks
	Command []string      `json:"command"`
	Timeout time.Duration `json:"timeout"` // it is interrupted then
}

// Mark is one message of the machine. One of its fields is set, and Status and Result with End.
type Mark struct {
	Release string `json:"release,omitempty"` // of the kernel that booted (uname -r)
	Begin   string `json:"begin,omitempty"`   // package whose tests begin, or the demo; what follows is their output
	End     string `json:"end,omitempty"`     // package whose tests ended, or the demo
	Status  int    `json:"status,omitempty"`  // exit status of its test binary, or of the demo
	Result  string `json:"result,omitempty"`  // standard output of the demo
	Error   string `json:"error,omitempty"`   // why the machine could not do as planned
}

const prefix = "@guest "

// Write writes a mark on a line of its own, also after output that ended within a line.
func (m Mark) Write(w io.Writer) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode mark: %w", err)
	}
	_, err = fmt.Fprintf(w, "\n%s%s\n", prefix, text)
	return err
}

// Transcript is what a machine said on Port.
type Transcript struct {
	Release string // empty: init did not get that far
	Error   string // empty: the plan was carried out
	Runs    []Run
}

// Run is what the tests of a package, or the demo, said.
type Run struct {
	Package string // or the name of the demo
	Output  []byte // of the demo, standard error alone
	Ended   bool   // false: the machine ended before they did
	Status  int
	Result  string // of the demo
}

// Parse reads all that came from Port, which may end anywhere.
func Parse(output []byte) (Transcript, error) {
	var t Transcript
	for number := 1; len(output) > 0; number++ {
		line, rest, _ := bytes.Cut(output, []byte("\n"))
		text, isMark := bytes.CutPrefix(line, []byte(prefix))
		whole := len(line) < len(output)
		output = rest
		switch {
		case isMark && whole:
			var m Mark
			if err := json.Unmarshal(text, &m); err != nil {
				return t, fmt.Errorf("parse output of the machine: line %d: %w", number, err)
			}
			t.add(m)
		case len(t.Runs) > 0 && !t.Runs[len(t.Runs)-1].Ended:
			run := &t.Runs[len(t.Runs)-1]
			run.Output = append(append(run.Output, line...), '\n')
		}
	}
	return t, nil
}

func (t *Transcript) add(m Mark) {
	switch {
	case m.Release != "":
		t.Release = m.Release
	case m.Error != "":
		t.Error = m.Error
	case m.Begin != "":
		t.Runs = append(t.Runs, Run{Package: m.Begin})
	case m.End != "" && len(t.Runs) > 0:
		run := &t.Runs[len(t.Runs)-1]
		run.Ended, run.Status, run.Result = true, m.Status, m.Result
	}
}
