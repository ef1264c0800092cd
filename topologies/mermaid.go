package topologies

import (
	"fmt"
	"slices"
	"strings"
)

// Mermaid draws a plan as a Mermaid flowchart, for Markdown. Only outlines are coloured, so it fits light and dark pages.
func Mermaid(p *Plan) string {
	d := draw(p)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("flowchart LR")
	clients := boxIDs("c", d.clients)
	for i, c := range d.clients {
		line("  %s([%s])", clients[i], quoteMermaid(append([]string{c.title()}, c.lines...)...))
	}
	line("  subgraph fabric")
	for i, n := range d.fabric {
		label := []string{n.name}
		for _, s := range n.subnets {
			label = append(label, s.prefix, "gateway "+s.gateway)
		}
		if n.mtu != "" {
			label = append(label, n.mtu)
		}
		line("    w%d[%s]", i, quoteMermaid(label...))
	}
	for i, v := range d.vips {
		line("    v%d{{%s}}", i, quoteMermaid(append([]string{"VIP " + v.address}, v.ports...)...))
	}
	line("  end")
	nodes := boxIDs("n", d.cluster)
	for i := range d.cluster {
		mermaidNode(line, nodes[i], &d.cluster[i])
	}
	networkOf := mermaidNetworks(p)
	for i, c := range d.clients {
		line("  %s %s %s", clients[i], mermaidWire(c.wire), networkOf[c.name])
	}
	for i, n := range d.cluster {
		line("  %s %s %s", networkOf[n.name], mermaidWire(n.wire), nodes[i])
	}
	for i, v := range d.vips {
		for j, n := range d.cluster {
			if slices.Contains(v.via, n.name) {
				line("  v%d -.-> %s", i, nodes[j])
			}
		}
	}
	line("  classDef client stroke:%s,stroke-width:2px", roleStrokes()[RoleClient])
	line("  classDef lb stroke:%s,stroke-width:2px", roleStrokes()[RoleLB])
	line("  classDef worker stroke:%s,stroke-width:2px", roleStrokes()[RoleWorker])
	for _, role := range []Role{RoleNLB, RoleRouter} {
		if slices.ContainsFunc(d.cluster, func(b box) bool { return b.role == role }) {
			line("  classDef %s stroke:%s,stroke-width:2px", role, roleStrokes()[role])
		}
	}
	for i := range d.clients {
		line("  class %s client", clients[i])
	}
	for i, n := range d.cluster {
		line("  class %s %s", nodes[i], n.role)
	}
	return b.String()
}

// roleStrokes are outlines that can be seen on white and on black.
func roleStrokes() map[Role]string {
	return map[Role]string{RoleClient: "#4a7fe0", RoleLB: "#c98a1b", RoleWorker: "#2f9e62", RoleNLB: "#c2528b", RoleRouter: "#1f8a96"}
}

func mermaidNode(line func(string, ...any), id string, n *box) {
	label := quoteMermaid(append([]string{n.title()}, n.lines...)...)
	if len(n.pods) == 0 {
		line("  %s[%s]", id, label)
		return
	}
	line("  subgraph %s[%s]", id, label)
	if title := n.podsTitle(); title != "" {
		line("    %sp[%s]", id, quoteMermaid(title))
	}
	for i, pod := range n.pods {
		text := []string{pod.name, pod.address}
		if pod.workload != "" {
			text = append(text, pod.workload)
		}
		line("    %sp%d(%s)", id, i, quoteMermaid(text...))
	}
	if n.more > 0 {
		line("    %smore[%s]", id, quoteMermaid(fmt.Sprintf("and %d more", n.more)))
	}
	line("  end")
}

func boxIDs(prefix string, boxes []box) []string {
	ids := make([]string, len(boxes))
	for i := range boxes {
		ids[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return ids
}

// mermaidNetworks are the ids of the networks by the names of the nodes in them.
func mermaidNetworks(p *Plan) map[string]string {
	ids := map[string]string{}
	for i, n := range p.Networks {
		ids[n.Name] = fmt.Sprintf("w%d", i)
	}
	byNode := map[string]string{}
	for i := range p.Nodes {
		byNode[p.Nodes[i].Name] = ids[p.Nodes[i].Network]
	}
	return byNode
}

func mermaidWire(labels []string) string {
	if len(labels) == 0 {
		return "---"
	}
	return "---|" + quoteMermaid(labels...) + "|"
}

// quoteMermaid quotes lines of text for a label.
func quoteMermaid(lines ...string) string {
	escape := strings.NewReplacer(`"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ")
	escaped := make([]string, len(lines))
	for i, l := range lines {
		escaped[i] = escape.Replace(l)
	}
	return `"` + strings.Join(escaped, "<br/>") + `"`
}
