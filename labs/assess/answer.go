package assess

import (
	"fmt"
	"strconv"
	"strings"
)

// Answer answers the question whether DSR would work, in a sentence.
func (r *Report) Answer() string {
	certain, possible := 0, 0
	for _, f := range r.Findings {
		if f.Certain {
			certain++
		} else {
			possible++
		}
	}
	switch r.Verdict {
	case Works:
		return "DSR works: everything that was tried arrived as it should."
	case WorksIf:
		return fmt.Sprintf("DSR works if %s changed.", count(certain, "what was found is", "%d things are"))
	case Wont:
		return fmt.Sprintf("DSR will not work as the network stands: %s in the way.", count(certain, "one thing is", "%d things are"))
	}
	text := "It is not known whether DSR works"
	if len(r.Unknown) > 0 {
		text += fmt.Sprintf(": %s not tried, or gave no clear answer", count(len(r.Unknown), "one thing was", "%d things were"))
	}
	if possible > 0 {
		text += fmt.Sprintf("; %s possible", count(possible, "one obstacle is", "%d obstacles are"))
	}
	return text + "."
}

// Runs says what forwards packets on the nodes, in sentences; empty if no node tells.
func (r *Report) Runs() string {
	var all []string
	for _, what := range []struct {
		name  string
		found []string
	}{{"Network plugin", r.CNI}, {"Service proxy", r.Proxies}} {
		if len(what.found) > 0 {
			all = append(all, fmt.Sprintf("%s: %s.", what.name, strings.Join(what.found, "; ")))
		}
	}
	return strings.Join(all, " ")
}

func count(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(more, n)
}

// Title names the finding's causes.
func (f *Finding) Title() string {
	title := string(joined(f.Causes))
	if !f.Certain {
		title += " (possible)"
	}
	return title
}

// String says what is not known, and where.
func (u Unknown) String() string {
	switch {
	case u.Node != "":
		return u.Node + ": " + u.What
	case u.Pair != nil:
		return u.Pair.String() + ": " + u.What
	}
	return u.What
}

func (u Unread) String() string {
	text := u.What + ": " + u.Why
	if u.Node != "" {
		text = u.Node + ": " + text
	}
	return text
}

// Lines says in sentences what DSR would change at the nodes' ports.
func (g *Gain) Lines() []string {
	if g == nil {
		return nil
	}
	lines := []string{
		fmt.Sprintf("Assuming that all traffic of the %s nodes' ports is service calls over IPv4, spread evenly, clients send %s and get %s; %.0f %% of the answers cross between nodes.",
			g.whichNodes(), rate(g.Requests), rate(g.Replies), 100*g.Crossing),
		fmt.Sprintf("One port carries %s in and %s out now, %s and %s under DSR.", rate(g.Now.BytesIn), rate(g.Now.BytesOut), rate(g.DSR.BytesIn), rate(g.DSR.BytesOut)),
		fmt.Sprintf("In packets: %.0f/s in and %.0f/s out now, %.0f/s and %.0f/s under DSR.", g.Now.PacketsIn, g.Now.PacketsOut, g.DSR.PacketsIn, g.DSR.PacketsOut),
	}
	if g.FullNow > 0 {
		lines = append(lines, fmt.Sprintf("The slowest port (%s) is full at %.3g times this load now, and at %.3g times under DSR.", rate(g.LinkRate/8), g.FullNow, g.FullDSR))
	}
	return lines
}

// whichNodes says how many nodes the load is of.
func (g *Gain) whichNodes() string {
	if g.Nodes == g.OfNodes {
		return strconv.Itoa(g.Nodes)
	}
	return fmt.Sprintf("%d (%d of them counted)", g.OfNodes, g.Nodes)
}

// rate writes bytes per second as bit/s.
func rate(bytes float64) string {
	bits, unit := bytes*8, "bit/s"
	for _, larger := range []string{"kbit/s", "Mbit/s", "Gbit/s"} {
		if bits < 1000 {
			break
		}
		bits, unit = bits/1000, larger
	}
	return fmt.Sprintf("%.3g %s", bits, unit)
}

// LabCommand is the command that runs the lab.
func (f *Finding) LabCommand() string {
	if f.Lab == "" {
		return ""
	}
	return "sudo dsrlab lab run " + f.Lab
}
