// Package walk follows one request and its reply through the captures of a run.
package walk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/report"
	"github.com/dsrlab/dsrlab/topologies"
)

// Of returns the walks of a run's variants, from the captures that a phase made, in the order of the run's variants. A variant without any
// capture has no walk; one whose captures do not show a whole request and its reply has a walk that says why.
func Of(run *results.Run, phase string) []report.Walk {
	plan, err := planOf(run.Manifest.Topology.Document)
	if err != nil {
		return nil // the run was recorded with another kind of document, or without any
	}
	var walks []report.Walk
	for _, variant := range run.Manifest.Variants {
		files := captureFiles(run, plan, phase+"-"+variant)
		if len(files) == 0 {
			continue
		}
		w, err := follow(run, plan, files)
		if err != nil {
			w = report.Walk{Missing: err.Error()}
		}
		w.Phase, w.Variant = phase, variant
		walks = append(walks, w)
	}
	return walks
}

// planOf reads the plan that a run was recorded with. In older ones nodes and pods have one address, in a field of its own.
func planOf(document string) (*topologies.Plan, error) {
	var plan topologies.Plan
	var older struct {
		Nodes []struct{ Address netip.Prefix }
		Pods  []struct{ Address netip.Addr }
	}
	if err := errors.Join(json.Unmarshal([]byte(document), &plan), json.Unmarshal([]byte(document), &older)); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	for i, n := range older.Nodes {
		if n.Address.IsValid() {
			plan.Nodes[i].Addresses = []netip.Prefix{n.Address}
		}
	}
	for i, p := range older.Pods {
		if p.Address.IsValid() {
			plan.Pods[i].Addresses = []netip.Addr{p.Address}
		}
	}
	return &plan, nil
}

// file is a capture of a node; raw is its name below raw/.
type file struct {
	node *topologies.Node
	raw  string
}

// captureFiles returns the captures of a trial: clients first, then LB nodes, then others. Of a trial that was taken again these are those
// of its last take.
func captureFiles(run *results.Run, plan *topologies.Plan, trial string) []file {
	var files []file
	for take := 1; ; take++ {
		again := ""
		if take > 1 {
			again = fmt.Sprintf("-take%d", take)
		}
		var of []file
		for i := range plan.Nodes {
			raw := fmt.Sprintf("%s-%s%s.pcapng", trial, plan.Nodes[i].Name, again)
			if slices.Contains(run.Raw, raw) {
				of = append(of, file{&plan.Nodes[i], raw})
			}
		}
		if len(of) == 0 {
			break
		}
		files = of
	}
	order := []topologies.Role{topologies.RoleClient, topologies.RoleLB}
	rank := func(f file) int {
		if i := slices.Index(order, f.node.Role); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(files, func(a, b file) int { return rank(a) - rank(b) })
	return files
}

// follow reads the captures and follows one connection through them.
func follow(run *results.Run, plan *topologies.Plan, files []file) (report.Walk, error) {
	var captured []Captured
	for _, f := range files {
		data, err := run.ReadRaw(f.raw)
		if err != nil {
			return report.Walk{}, err
		}
		c := Captured{Node: f.node}
		if err := capture.Dissect(bytes.NewReader(data), c.Add); err != nil {
			return report.Walk{}, fmt.Errorf("raw/%s: %w", f.raw, err)
		}
		captured = append(captured, c)
	}
	hops, err := Follow(captured)
	if err != nil {
		return report.Walk{}, err
	}
	w := report.Walk{Hops: hops}
	for _, c := range captured {
		w.Nodes = append(w.Nodes, drawnNode(c.Node, hops[0]))
	}
	for i, hop := range hops {
		if !hop.Reply && (i+1 == len(hops) || hops[i+1].Reply) {
			w.Nodes[hop.To].Pod = podAt(plan, hop)
			break
		}
	}
	return w, nil
}

// drawnNode says of a node what a reader needs: its role, and its address of the client's family.
func drawnNode(n *topologies.Node, first report.WalkHop) report.WalkNode {
	words := map[topologies.Role]string{
		topologies.RoleClient: "client", topologies.RoleLB: "LB node", topologies.RoleWorker: "pod node", topologies.RoleNLB: "network load balancer",
		topologies.RoleRouter: "router",
	}
	w := report.WalkNode{Name: n.Name, LB: n.Role == topologies.RoleLB}
	if word := words[n.Role]; word != n.Name {
		w.Role = word
	}
	if address := n.AddressFor(first.Source.Addr()); address.IsValid() {
		w.Address = address.String()
	} else if len(n.Addresses) > 0 {
		w.Address = n.Addresses[0].Addr().String() // a node may speak only the other family with the fabric
	}
	return w
}

// podAt names the pod that a request is for.
func podAt(plan *topologies.Plan, last report.WalkHop) string {
	if pod := plan.PodAt(last.Destination.Addr()); pod != nil {
		return "pod " + pod.Name
	}
	return "pod"
}
