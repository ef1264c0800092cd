// Package services turns Kubernetes objects (Services, EndpointSlices, nodes) into what the data path of a node needs:
// frontends and backends. It is pure: the same objects give the same tables on every node.
//
// Build does it for all objects at once. A Tracker takes them one by one and reports what each changes: for 10,000 services of 10
// endpoints Build takes hundreds of milliseconds, one change of a Tracker some tens of microseconds (BenchmarkBuild10k,
// BenchmarkTrackerChange).
package services

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// State is all that the tables follow from.
type State struct {
	Services       []corev1.Service
	EndpointSlices []discoveryv1.EndpointSlice
	Nodes          []Node
	Reserved       []Reserved
}

// Options are what no object says. The zero value is usable.
type Options struct {
	// Mode of services without ModeAnnotation (default snat).
	Mode Mode
	// ExternalIPs are where spec.externalIPs may be (default nowhere).
	ExternalIPs []netip.Prefix
}

// Build makes the tables. It never fails: what it cannot use it leaves out and names among the problems. Neither its
// arguments nor the objects in them are changed.
//
// Of two services that claim the same address, port and protocol the older one gets it.
func Build(state State, options Options) (*Tables, []Problem) {
	t := NewTracker(options)
	t.Load(state)
	return t.Tables(), t.Problems()
}

// checked are the options with defaults, and what was wrong with them.
func (o Options) checked() (Options, []Problem) {
	var problems []Problem
	problem := func(field, want, format string, args ...any) {
		problems = append(problems, Problem{Object: "options", Field: field, What: fmt.Sprintf(format, args...), Want: want})
	}
	checked := Options{Mode: ModeSNAT, ExternalIPs: o.ExternalIPs}
	if o.Mode != "" {
		if mode, err := ParseMode(string(o.Mode)); err != nil {
			problem("mode", "use snat, dsr or hybrid", "%q is no forwarding mode", o.Mode)
		} else {
			checked.Mode = mode
		}
	}
	return checked, problems
}

// OlderFirst orders by creation time, then by namespace and name.
func OlderFirst(a, b *corev1.Service) int {
	return cmp.Or(
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name))
}

// Load makes the tracker hold the objects of state and no others, and returns what that changes. Of several objects of one
// name it holds one (of services the oldest) and lists the others among its problems.
func (t *Tracker) Load(state State) []Change {
	t.duplicates = nil
	t.setNodes(state.Nodes)
	t.reserved = slices.Clone(state.Reserved)

	ordered := make([]*corev1.Service, len(state.Services))
	for i := range state.Services {
		ordered[i] = &state.Services[i]
	}
	slices.SortStableFunc(ordered, OlderFirst)
	kept := make(map[objectKey]*corev1.Service, len(ordered))
	for _, service := range ordered {
		key := objectKey{service.Namespace, service.Name}
		if kept[key] != nil {
			t.duplicate(serviceObject(service), "give each service a name of its own", "there are two services of this name")
			continue
		}
		kept[key] = service
	}

	t.slices, t.byService, t.orphans = map[objectKey]objectKey{}, map[objectKey][]*discoveryv1.EndpointSlice{}, map[objectKey]Problem{}
	named := make(map[objectKey]bool, len(state.EndpointSlices))
	for i := range state.EndpointSlices {
		slice := &state.EndpointSlices[i]
		key := objectKey{slice.Namespace, slice.Name}
		if named[key] {
			t.duplicate(sliceObject(slice), "give each slice a name of its own", "there are two slices of this name")
			continue
		}
		named[key] = true
		t.addSlice(key, slice)
	}

	replacements := make(map[objectKey]*corev1.Service, len(kept)+len(t.entries))
	for key := range t.entries {
		replacements[key] = nil
	}
	for key, service := range kept {
		replacements[key] = service
	}
	return t.replace(replacements)
}

func (t *Tracker) duplicate(object, want, what string) {
	t.duplicates = append(t.duplicates, Problem{Object: object, Field: "metadata.name", What: what, Want: want})
}
