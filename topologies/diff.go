package topologies

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Diff returns, as sentences, what is different in other, which comes after p. It is empty only if the two build the same.
func (p *Plan) Diff(other *Plan) []string {
	d := &differences{}
	d.value("", "the name", p.Name, other.Name)
	d.value("", "the substrate", p.Substrate, other.Substrate)
	d.value("", "the congestion control", p.CongestionControl, other.CongestionControl)
	d.value("", "the MTU", p.MTU, other.MTU)
	compare(d, "network", p.Networks, other.Networks, func(n *Network) string { return n.Name }, func(what string, a, b *Network) {
		d.network(what, a, b)
		if a.MTU != p.MTU || b.MTU != other.MTU { // else it is the plan's
			d.value(what, "MTU", a.MTU, b.MTU)
		}
	})
	compare(d, "node", p.Nodes, other.Nodes, func(n *Node) string { return n.Name }, d.node)
	compare(d, "pod", p.Pods, other.Pods, func(pod *Pod) string { return pod.Name }, d.pod)
	compare(d, "service", p.Services, other.Services, func(s *corev1.Service) string { return s.Namespace + "/" + s.Name }, d.service)
	if len(d.sentences) == 0 {
		// What follows from the rest, or only the order in which things are.
		compare(d, "the fabric's route to", p.FabricRoutes, other.FabricRoutes, func(r *Route) string { return r.Destination.String() },
			func(what string, a, b *Route) { d.value(what, "next hops", a.Via, b.Via) })
		if len(d.sentences) == 0 && (p.Hash != other.Hash || show(p) != show(other)) {
			d.sentences = append(d.sentences, "the same things are there, in another order or with other derived values")
		}
	}
	return d.sentences
}

// differences gathers the sentences of a Diff.
type differences struct{ sentences []string }

// value compares one value; what it belongs to comes first in the sentence.
func (d *differences) value(of, name string, before, after any) {
	if show(before) == show(after) { // a plan that was stored and read again has the same JSON, not the same pointers
		return
	}
	if of != "" {
		name = of + ": " + name
	}
	d.sentences = append(d.sentences, fmt.Sprintf("%s was %s, is %s", name, show(before), show(after)))
}

// show prints a value for a sentence.
func show(value any) string {
	switch v := value.(type) {
	case []netip.Prefix:
		return joined(v, " and ")
	case []netip.Addr:
		return joined(v, " and ")
	case Shape:
		if v.Rate == 0 {
			return "not shaped"
		}
		if v.Limit == LimitPolice {
			return fmt.Sprintf("%s policed with burst %s, overhead %d", v.Rate, v.Burst, *v.Overhead)
		}
		return fmt.Sprintf("%s with queue %s, burst %s, overhead %d", v.Rate, v.Queue, v.Burst, *v.Overhead)
	case map[string]string:
		if len(v) == 0 {
			return "none"
		}
		var pairs []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, key+"="+v[key])
		}
		return strings.Join(pairs, ", ")
	case []WorkloadSpec:
		if len(v) == 0 {
			return "none"
		}
		var all []string
		for _, w := range v {
			text := fmt.Sprintf("%s on %d", w.Kind, w.Port)
			if w.Name != "" {
				text += " (" + w.Name + ")"
			}
			all = append(all, text)
		}
		return strings.Join(all, ", ")
	case fmt.Stringer, string, int, SubstrateKind, Role:
		return fmt.Sprint(v)
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(data)
}

// joined prints the values of a list with a separator between them; "none" if it is empty.
func joined[T fmt.Stringer](all []T, separator string) string {
	if len(all) == 0 {
		return "none"
	}
	texts := make([]string, len(all))
	for i, value := range all {
		texts[i] = value.String()
	}
	return strings.Join(texts, separator)
}

// compare matches things by name: those that are gone, those that changed, and those that are new, each in order.
func compare[T any](d *differences, kind string, before, after []T, name func(*T) string, changed func(what string, a, b *T)) {
	later := map[string]*T{}
	for i := range after {
		later[name(&after[i])] = &after[i]
	}
	earlier := map[string]bool{}
	for i := range before {
		a := &before[i]
		what := kind + " " + name(a)
		earlier[name(a)] = true
		if b, ok := later[name(a)]; ok {
			changed(what, a, b)
		} else {
			d.sentences = append(d.sentences, what+" is gone")
		}
	}
	for i := range after {
		if b := &after[i]; !earlier[name(b)] {
			d.sentences = append(d.sentences, kind+" "+name(b)+" is new")
		}
	}
}

func (d *differences) network(what string, a, b *Network) {
	d.value(what, "subnet", a.Subnets, b.Subnets)
	d.value(what, "gateway", a.Gateways, b.Gateways)
}

func (d *differences) node(what string, a, b *Node) {
	d.value(what, "role", a.Role, b.Role)
	d.value(what, "network", a.Network, b.Network)
	d.value(what, "address", a.Addresses, b.Addresses)
	d.value(what, "pod CIDR", a.PodCIDRs, b.PodCIDRs)
	d.value(what, "labels", a.Labels, b.Labels)
	if reflect.DeepEqual(a.ToNode, a.FromNode) && reflect.DeepEqual(b.ToNode, b.FromNode) {
		d.value(what, "link", a.ToNode, b.ToNode)
		return
	}
	d.value(what, "link to the node", a.ToNode, b.ToNode)
	d.value(what, "link from the node", a.FromNode, b.FromNode)
}

func (d *differences) pod(what string, a, b *Pod) {
	d.value(what, "node", a.Node, b.Node)
	d.value(what, "address", a.Addresses, b.Addresses)
	d.value(what, "labels", a.Labels, b.Labels)
	d.value(what, "workload", a.Workload, b.Workload)
}

// service compares two services field by field, as their JSON has them.
func (d *differences) service(what string, a, b *corev1.Service) {
	before, after := flatten(a), flatten(b)
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if value, ok := after[key]; !ok {
			d.sentences = append(d.sentences, fmt.Sprintf("%s: %s was %s, is not set", what, key, before[key]))
		} else if value != before[key] {
			d.sentences = append(d.sentences, fmt.Sprintf("%s: %s was %s, is %s", what, key, before[key], value))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[key]; !ok {
			d.sentences = append(d.sentences, fmt.Sprintf("%s: %s was not set, is %s", what, key, after[key]))
		}
	}
}

// flatten is a service as paths and values.
func flatten(s *corev1.Service) map[string]string {
	flat := map[string]string{}
	data, err := json.Marshal(s)
	if err != nil {
		return flat // cannot be: it has no cycles and no functions
	}
	var tree any
	_ = json.Unmarshal(data, &tree)
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for key, item := range v {
				walk(strings.TrimPrefix(path+"."+key, "."), item)
			}
		case []any:
			for i, item := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), item)
			}
		default:
			flat[path] = fmt.Sprint(v)
		}
	}
	walk("", tree)
	return flat
}
