package labs

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/dsrlab/dsrlab/labs/stand"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// Console is a Narrator for a terminal or a log: the story on Out, a progress bar on Progress while a phase runs.
type Console struct {
	Out io.Writer
	// Progress is where the bar goes; nil where there is no terminal, and then each turn is a line on Out instead.
	Progress io.Writer
	// Color sets headings apart.
	Color bool

	bar     progress.Writer
	tracker *progress.Tracker
	last    string // variant of the evidence told last
}

// width of lines of narration.
const width = 100

func (c *Console) heading(s string) {
	if c.Color {
		s = text.Bold.Sprint(s)
	}
	fmt.Fprintf(c.Out, "\n%s\n", s)
}

// Begin tells the question and draws the topology.
func (c *Console) Begin(lab *Lab, plan *topologies.Plan) {
	c.heading(lab.Metadata.Name + ": " + lab.Metadata.Title)
	fmt.Fprintln(c.Out, text.WrapSoft(lab.Spec.Question, width))
	fmt.Fprintln(c.Out)
	if plan.Substrate == topologies.SubstrateNetns { // another substrate gives addresses of its own
		c.draw(plan)
	}
}

// Stands draws what was not drawn before.
func (c *Console) Stands(plan *topologies.Plan) {
	if plan.Substrate != topologies.SubstrateNetns {
		fmt.Fprintf(c.Out, "substrate %s, with addresses that it gave:\n", plan.Substrate)
		c.draw(plan)
	}
}

// Notice tells something about the run as a whole.
func (c *Console) Notice(message string) {
	fmt.Fprintln(c.Out, "\n"+text.WrapSoft(message, width))
}

// draw draws the topology in a few lines.
func (c *Console) draw(plan *topologies.Plan) {
	for _, n := range plan.Nodes {
		rate := "not shaped"
		if n.ToNode.Rate > 0 {
			rate = n.ToNode.Rate.String()
		}
		fmt.Fprintf(c.Out, "  %-8s %-7s %-16v %s\n", n.Name, n.Role, n.Address.Addr(), rate)
		for _, p := range plan.Pods {
			if p.Node == n.Name {
				fmt.Fprintf(c.Out, "  └ %-6s pod     %v\n", p.Name, p.Address)
			}
		}
	}
	for _, s := range plan.Services {
		for _, ingress := range s.Status.LoadBalancer.Ingress {
			fmt.Fprintf(c.Out, "  VIP      %s     %s\n", ingress.IP, s.Name)
		}
	}
}

// Phase tells what comes.
func (c *Console) Phase(p *Phase, turns int) {
	c.finishBar()
	c.last = ""
	c.heading(p.Name)
	fmt.Fprintln(c.Out, text.WrapSoft(p.Narration, width))
	fmt.Fprintln(c.Out)
	if c.Progress == nil {
		return
	}
	c.bar = progress.NewWriter()
	c.bar.SetOutputWriter(c.Progress)
	c.bar.SetUpdateFrequency(100 * time.Millisecond)
	c.bar.SetStyle(progress.StyleBlocks)
	c.bar.SetTrackerLength(30)
	c.tracker = &progress.Tracker{Message: p.Name, Total: int64(turns), Units: progress.UnitsDefault}
	c.bar.AppendTracker(c.tracker)
	go c.bar.Render()
}

// Turn moves the bar on.
func (c *Console) Turn(v stand.Variant, _ int, labels map[string]string) {
	if c.tracker == nil {
		return
	}
	c.tracker.UpdateMessage(strings.TrimSpace(v.Name + " " + results.FormatLabels(labels)))
	c.tracker.Increment(1)
}

// Evidence tells what was seen, under the variant's name.
func (c *Console) Evidence(variant, message string) {
	label := variant
	if variant == c.last {
		label = ""
	}
	c.last = variant
	line := fmt.Sprintf("  %-11s %s", label, message)
	if c.bar != nil && c.bar.IsRenderInProgress() {
		c.bar.Log("%s", line)
		return
	}
	fmt.Fprintln(c.Out, line)
}

// End tells the verdicts.
func (c *Console) End(s results.Summary) {
	c.finishBar()
	result := string(s.Result)
	if s.Descriptive && s.Result == results.Passed {
		result = "measured as it is"
	}
	fmt.Fprintf(c.Out, "\n%s: %s\n", s.Lab, result)
	for _, reason := range s.Reasons {
		fmt.Fprintln(c.Out, "  "+reason)
	}
}

func (c *Console) finishBar() {
	if c.bar == nil {
		return
	}
	c.tracker.MarkAsDone()
	c.bar.Stop()
	for c.bar.IsRenderInProgress() {
		time.Sleep(time.Millisecond)
	}
	c.bar, c.tracker = nil, nil
}

// Verdicts is the table of all claims that the runs checked, and of what they expected beyond the talk's claims.
func Verdicts(w io.Writer, summaries []results.Summary) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"Claim", "Verdict", "Evidence"})
	t.SetColumnConfigs([]table.ColumnConfig{{Name: "Evidence", WidthMax: 88, WidthMaxEnforcer: text.WrapSoft}})
	for _, s := range summaries {
		for _, claim := range s.Claims {
			t.AppendRow(table.Row{claim.ID, claim.Verdict, claim.Evidence})
			t.AppendSeparator()
		}
		for _, e := range s.Expectations {
			if len(e.Claims) == 0 {
				t.AppendRow(table.Row{"–", e.Outcome, e.Evidence})
				t.AppendSeparator()
			}
		}
	}
	t.Render()
}
