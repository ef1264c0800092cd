package assess

import (
	"fmt"
	"strings"
)

// NodeLines says in sentences what was read of the nodes, those of which the same was read together.
func (r *Report) NodeLines() []string {
	names := map[string][]string{}
	var order []string
	for i := range r.Nodes {
		facts := r.Nodes[i].facts()
		if facts == "" {
			continue
		}
		if names[facts] == nil {
			order = append(order, facts)
		}
		names[facts] = append(names[facts], r.Nodes[i].Name)
	}
	var lines []string
	for _, facts := range order {
		lines = append(lines, someOf(names[facts])+": "+facts+".")
	}
	return lines
}

// facts is what was read of the node; empty if nothing was.
func (n *Node) facts() string {
	var all []string
	if n.Kernel != "" {
		all = append(all, "Linux "+n.Kernel)
	}
	if n.BTF != nil {
		all = append(all, choose(*n.BTF, "with BTF", "without BTF"))
	}
	if n.Device != "" {
		all = append(all, fmt.Sprintf("%s with an MTU of %d bytes", n.Device, n.MTU))
		if mode, known := n.ReversePath[n.Device]; known && mode >= 0 && mode <= 2 {
			all = append(all, []string{"no reverse path filter", "a strict reverse path filter", "a loose reverse path filter"}[mode])
		}
		if n.AcceptLocal[n.Device] {
			all = append(all, "accept_local")
		}
	}
	if n.XDP != nil {
		all = append(all, choose(*n.XDP, "XDP in its driver", "no XDP in its driver"))
	}
	if n.DropsInvalid != nil && *n.DropsInvalid {
		all = append(all, "a rule that drops what connection tracking calls invalid")
	}
	return strings.Join(all, ", ")
}

func choose(yes bool, one, other string) string {
	if yes {
		return one
	}
	return other
}
