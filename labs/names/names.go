// Package names checks the names in a lab against those of its topology, before anything is built.
package names

import (
	"fmt"
	"slices"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// Names are those that a lab may use, of its topology.
type Names struct {
	// Plan is the topology, as it is to be built.
	Plan *topologies.Plan

	Nodes, Clients, LBNodes, ClusterNodes, Pods []string
	Services                                    []string
	// Ports has the names of each service's ports.
	Ports map[string][]string
}

// Of returns the names of a planned topology.
func Of(plan *topologies.Plan) *Names {
	n := &Names{Plan: plan, Ports: make(map[string][]string)}
	for i := range plan.Nodes {
		node := &plan.Nodes[i]
		n.Nodes = append(n.Nodes, node.Name)
		switch node.Role {
		case topologies.RoleClient:
			n.Clients = append(n.Clients, node.Name)
		case topologies.RoleLB:
			n.LBNodes = append(n.LBNodes, node.Name)
		}
		if !node.Role.OutsideCluster() {
			n.ClusterNodes = append(n.ClusterNodes, node.Name)
		}
	}
	for i := range plan.Pods {
		n.Pods = append(n.Pods, plan.Pods[i].Name)
	}
	for i := range plan.Services {
		service := &plan.Services[i]
		n.Services = append(n.Services, service.Name)
		for k := range service.Spec.Ports {
			n.Ports[service.Name] = append(n.Ports[service.Name], service.Spec.Ports[k].Name)
		}
	}
	return n
}

// Known checks that a field has one of some names. What is the kind of thing that they name, as in "LB node".
func Known(field, what, name string, all []string) []error {
	switch {
	case slices.Contains(all, name):
		return nil
	case name == "":
		return []error{fmt.Errorf("%s: missing%s", field, manifest.Suggest("", all))}
	case len(all) == 0:
		return []error{fmt.Errorf("%s: unknown %s %q (the topology has none)", field, what, name)}
	}
	return []error{fmt.Errorf("%s: unknown %s %q%s", field, what, name, manifest.Suggest(name, all))}
}

// Optional is Known for a field that may be empty.
func Optional(field, what, name string, all []string) []error {
	if name == "" {
		return nil
	}
	return Known(field, what, name, all)
}

// Each is Known for a list.
func Each(field, what string, found, all []string) []error {
	var errs []error
	for i, name := range found {
		errs = append(errs, Known(fmt.Sprintf("%s[%d]", field, i), what, name, all)...)
	}
	return errs
}

// From checks where requests come from: any node or pod.
func (n *Names) From(name string) []error {
	return Known("from", "node or pod", name, slices.Concat(n.Nodes, n.Pods))
}

// Target checks a port of a service.
func (n *Names) Target(field string, t testbed.Target) []error {
	errs := Optional(field+".via", "node", t.Via, n.ClusterNodes)
	if unknown := Known(field+".service", "service", t.Service, n.Services); unknown != nil {
		return append(errs, unknown...)
	}
	return append(errs, n.Port(field+".port", t.Service, t.Port)...)
}

// Port checks the name of a port of a service that there is.
func (n *Names) Port(field, service, port string) []error {
	return Known(field, "port of "+service, port, n.Ports[service])
}

// Call checks where requests come from and go to.
func (n *Names) Call(from string, to testbed.Target) []error {
	return append(n.From(from), n.Target("to", to)...)
}
