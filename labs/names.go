package labs

import (
	"fmt"
	"slices"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// names are those that a lab may use, of its topology. Steps check theirs before anything is built.
type names struct {
	nodes, clients, lbNodes, clusterNodes, pods []string
	services                                    []string
	ports                                       map[string][]string // of services
}

func namesOf(plan *topologies.Plan) *names {
	n := &names{ports: make(map[string][]string)}
	for i := range plan.Nodes {
		node := &plan.Nodes[i]
		n.nodes = append(n.nodes, node.Name)
		switch node.Role {
		case topologies.RoleClient:
			n.clients = append(n.clients, node.Name)
		case topologies.RoleLB:
			n.lbNodes = append(n.lbNodes, node.Name)
		}
		if !node.Role.OutsideCluster() {
			n.clusterNodes = append(n.clusterNodes, node.Name)
		}
	}
	for i := range plan.Pods {
		n.pods = append(n.pods, plan.Pods[i].Name)
	}
	for i := range plan.Services {
		service := &plan.Services[i]
		n.services = append(n.services, service.Name)
		for k := range service.Spec.Ports {
			n.ports[service.Name] = append(n.ports[service.Name], service.Spec.Ports[k].Name)
		}
	}
	return n
}

// known checks that a field has one of some names. What is the kind of thing that they name, as in "LB node".
func known(field, what, name string, all []string) []error {
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

// optional is known for a field that may be empty.
func optional(field, what, name string, all []string) []error {
	if name == "" {
		return nil
	}
	return known(field, what, name, all)
}

// each is known for a list.
func each(field, what string, found, all []string) []error {
	var errs []error
	for i, name := range found {
		errs = append(errs, known(fmt.Sprintf("%s[%d]", field, i), what, name, all)...)
	}
	return errs
}

// from checks where requests come from: any node or pod.
func (n *names) from(name string) []error {
	return known("from", "node or pod", name, slices.Concat(n.nodes, n.pods))
}

// target checks a port of a service.
func (n *names) target(field string, t testbed.Target) []error {
	errs := optional(field+".via", "node", t.Via, n.clusterNodes)
	if unknown := known(field+".service", "service", t.Service, n.services); unknown != nil {
		return append(errs, unknown...)
	}
	return append(errs, n.port(field+".port", t.Service, t.Port)...)
}

// port checks the name of a port of a service that there is.
func (n *names) port(field, service, port string) []error {
	return known(field, "port of "+service, port, n.ports[service])
}

// call checks where requests come from and go to.
func (n *names) call(from string, to testbed.Target) []error {
	return append(n.from(from), n.target("to", to)...)
}

func (s *ConnectStep) check(n *names) []error  { return n.call(s.From, s.To) }
func (s *TransferStep) check(n *names) []error { return n.call(s.From, s.To) }
func (s *InferStep) check(n *names) []error    { return n.call(s.From, s.To) }
func (s *TraceStep) check(n *names) []error    { return n.call(s.From, s.To) }
func (s *ObserveStep) check(n *names) []error  { return n.call(s.From, s.To) }
func (s *EntryStep) check(n *names) []error    { return n.call(s.From, s.To) }

func (s *HealthStep) check(n *names) []error {
	return append(n.from(s.From), known("service", "service", s.Service, n.services)...)
}

func (s *LBListStep) check(n *names) []error {
	return append(known("node", "node", s.Node, n.clusterNodes), n.target("to", s.To)...)
}

func (s *WithdrawStep) check(n *names) []error {
	errs := known("node", "LB node", s.Node, n.lbNodes)
	for _, err := range s.Entry.check(n) {
		errs = append(errs, fmt.Errorf("entry.%w", err))
	}
	return errs
}

func (s *TableStep) check(n *names) []error {
	errs := append(n.from(s.From), optional("proxy", "node", s.Proxy, n.nodes)...)
	errs = append(errs, each("gone", "pod", s.Gone, n.pods)...)
	if unknown := known("service", "service", s.Service, n.services); unknown != nil {
		return append(errs, unknown...)
	}
	for _, port := range []struct{ field, name string }{{"port", s.Port}, {"udp", s.UDP}, {"parsing", s.Parsing}} {
		errs = append(errs, optional(port.field, "port of "+s.Service, port.name, n.ports[s.Service])...)
	}
	return errs
}

func (s *HeadersStep) check(n *names) []error {
	return append(n.call(s.From, s.To), each("through", "node", s.Through, n.nodes)...)
}

func (s *ProxyProtocolStep) check(n *names) []error {
	errs := append(n.call(s.From, s.To), optional("through", "node", s.Through, n.nodes)...)
	return append(errs, optional("pod", "pod", s.Pod, n.pods)...)
}

func (s *DownloadsStep) check(n *names) []error {
	errs := append(n.call(s.From, s.To), optional("without", "LB node", s.Without, n.lbNodes)...)
	for i, e := range s.Events {
		field := fmt.Sprintf("events[%d].", i)
		errs = append(errs, optional(field+"fail", "LB node", e.Fail, n.lbNodes)...)
		errs = append(errs, optional(field+"join", "LB node", e.Join, n.lbNodes)...)
		errs = append(errs, optional(field+"drain", "pod", e.Drain, n.pods)...)
		errs = append(errs, optional(field+"return", "pod", e.Return, n.pods)...)
	}
	return errs
}

func (s *ApplicationStep) check(n *names) []error {
	return append(n.target("to", s.To), optional("abuser", "client", s.Abuser, n.clients)...)
}
