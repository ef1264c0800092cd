// Package console prints on a terminal, or to a log: the story of a lab while it runs, verdicts of runs, what a topology is.
package console

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/units"
	"github.com/dsrlab/dsrlab/topologies"
)

// Console is a labs.Narrator for a terminal or a log: the story on Out, in order and whole, and a progress bar on Progress while a phase
// runs. Lines fit the terminal's width; without a terminal narration and evidence are wrapped at 80 columns. It may be
// called from several goroutines.
type Console struct {
	Out io.Writer
	// Progress is where the bar goes: a terminal whose cursor can be moved. Nil: no bar.
	Progress io.Writer
	// Color highlights headings and variants.
	Color bool

	mu       sync.Mutex
	bar      *bar
	variants int    // width of the column of variants
	last     string // variant of the last evidence
}

// The smallest and the largest width of the column of variants.
const (
	leastVariants = 11
	mostVariants  = 22
)

func (c *Console) heading(s string) {
	s = terminal.Wrap(s, c.columns())
	if c.Color {
		s = text.Bold.Sprint(s)
	}
	fmt.Fprintf(c.Out, "\n%s\n", s)
}

func (c *Console) columns() int { return terminal.ColumnsOr(c.Out, terminal.ProseColumns) }

// lock locks the console and removes the bar from the screen, so that other output can be written.
func (c *Console) lock() {
	c.mu.Lock()
	c.bar.erase()
}

// unlock draws the bar again below that output, and unlocks the console.
func (c *Console) unlock() {
	c.bar.draw()
	c.mu.Unlock()
}

// Begin prints the question and draws the topology.
func (c *Console) Begin(lab *labs.Lab, plan *topologies.Plan) {
	c.lock()
	defer c.unlock()
	c.variants = leastVariants
	for _, v := range lab.Spec.Variants {
		c.variants = min(max(c.variants, terminal.Width(v.Name)), mostVariants)
	}
	c.heading(lab.Metadata.Name + ": " + lab.Metadata.Title)
	fmt.Fprintf(c.Out, "%s\n\n", terminal.Wrap(lab.Spec.Question, c.columns()))
	if plan.Substrate == topologies.SubstrateNetns { // other substrates assign their own addresses
		c.draw(plan)
	}
}

// Built draws what was not drawn before.
func (c *Console) Built(plan *topologies.Plan) {
	if plan.Substrate == topologies.SubstrateNetns {
		return
	}
	c.lock()
	defer c.unlock()
	fmt.Fprintf(c.Out, "substrate %s, with the addresses that it assigned:\n", plan.Substrate)
	c.draw(plan)
}

// Notice prints a message about the run as a whole.
func (c *Console) Notice(message string) {
	c.lock()
	defer c.unlock()
	fmt.Fprintf(c.Out, "\n%s\n", terminal.Wrap(message, c.columns()))
}

// draw draws the topology in a few lines.
func (c *Console) draw(plan *topologies.Plan) {
	line := func(format string, args ...any) {
		fmt.Fprintln(c.Out, terminal.Wrap(fmt.Sprintf(format, args...), c.columns()))
	}
	for _, n := range plan.Nodes {
		rate := "not shaped"
		if n.ToNode.Rate > 0 {
			rate = n.ToNode.Rate.String()
		}
		address := "" // of a node of an existing cluster without an InternalIP
		if len(n.Addresses) > 0 {
			address = n.Addresses[0].Addr().String()
		}
		line("  %-8s %-7s %-16s %s", n.Name, n.Role, address, rate)
		for _, p := range plan.Pods {
			if p.Node == n.Name {
				line("  └ %-6s pod     %v", p.Name, p.Addresses[0])
			}
		}
	}
	for _, s := range plan.Services {
		for _, vip := range plan.VIPs(s.Name) {
			line("  VIP      %s     %s", vip, s.Name)
		}
	}
}

// Phase announces a phase.
func (c *Console) Phase(p *labs.Phase, trials int) {
	c.lock()
	defer c.unlock()
	c.bar, c.last = nil, ""
	c.heading(p.Name)
	fmt.Fprintf(c.Out, "%s\n\n", terminal.Wrap(p.Narration, c.columns()))
	if c.Progress != nil {
		c.bar = &bar{w: c.Progress, total: trials}
	}
}

// Trial moves the bar on.
func (c *Console) Trial(v testbed.Variant, repetition int, labels map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	trial := v.Name
	if formatted := results.FormatLabels(labels); formatted != "" {
		trial += " " + formatted
	}
	if repetition > 0 {
		trial += fmt.Sprintf(" (repetition %d)", repetition+1)
	}
	c.bar.begin(trial)
}

// Rate shows the rate of a transfer beside the bar; without a bar it does nothing.
func (c *Console) Rate(bitsPerSecond float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := ""
	if !math.IsNaN(bitsPerSecond) {
		now = units.Format(bitsPerSecond, "bit/s")
	}
	c.bar.tell(now)
}

// Evidence prints what was seen, under the variant's name.
func (c *Console) Evidence(variant, message string) {
	c.lock()
	defer c.unlock()
	name := variant
	if variant == c.last {
		name = ""
	}
	c.last = variant
	label := fmt.Sprintf("  %-*s ", max(c.variants, leastVariants), name)
	told := message
	if terminal.Width(label) > c.columns()/2 { // no variant of the lab's
		told, label = name+": "+message, "    "
	}
	told = terminal.Hang(label, told, c.columns())
	if c.Color && name != "" {
		told = strings.Replace(told, name, text.FgCyan.Sprint(name), 1)
	}
	fmt.Fprintln(c.Out, told)
}

// Messages wraps w for messages from elsewhere, such as a logger's, so that they do not mix with the bar on the same terminal.
func (c *Console) Messages(w io.Writer) io.Writer { return besideBar{c, w} }

type besideBar struct {
	console *Console
	w       io.Writer
}

func (b besideBar) Write(p []byte) (int, error) {
	b.console.lock()
	defer b.console.unlock()
	return b.w.Write(p)
}

// End prints the outcome.
func (c *Console) End(s results.Summary) {
	c.lock()
	defer c.unlock()
	c.bar = nil
	fmt.Fprintf(c.Out, "\n%s: %s\n", s.Lab, paint(c.Color, resultOf(s)))
	for _, reason := range s.Reasons {
		fmt.Fprintln(c.Out, terminal.Hang("  ", reason, c.columns()))
	}
}

// resultOf formats the result of a run.
func resultOf(s results.Summary) string {
	if s.Descriptive && s.Result == results.Passed {
		return "measured as it is"
	}
	return string(s.Result)
}
