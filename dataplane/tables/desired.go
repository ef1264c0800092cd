package tables

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Desired is what a node's maps are to hold, and what of it they can't hold.
type Desired struct {
	view       *nodeView
	specs      map[string]*serviceSpec // by service; "" has the backends without a frontend
	invalid    map[string]error        // services without a spec, and why
	leftOut    []services.Problem      // nodes and pods
	refused    map[string]services.Problem
	precedence func(a, b string) int
}

// Compile makes the desired state of a node's maps. What can't be used of it is left out, and nothing else is; see Refused.
func Compile(state State) *Desired {
	v, problems := newNodeView(state)
	d := &Desired{view: v, leftOut: problems, precedence: state.Precedence}
	tables := state.Tables
	if tables == nil {
		tables = &services.Tables{}
	}
	d.specs, d.invalid = compileAll(v, tables)
	return d
}

// refusal is why a service is left out, as in services.Problem.
type refusal struct{ field, what, want string }

func (e *refusal) Error() string { return fmt.Sprintf("%s: %s; %s", e.field, e.what, e.want) }

// full is the error of what finds no room in a map. It names the setting that gives the map more.
func (c Capacities) full(mapName string) error {
	return &refusal{settingOf(mapName), fmt.Sprintf("no room in map %s with its %d entries", mapName, c[mapName]), "raise it in dsrd's configuration"}
}

// problemOf is an error as the problem of an object.
func problemOf(object string, err error) services.Problem {
	var r *refusal
	if errors.As(err, &r) {
		return services.Problem{Object: object, Field: r.field, What: r.what, Want: r.want}
	}
	return services.Problem{Object: object, Field: "spec", What: err.Error(), Want: "must be possible"}
}

// refuse notes that a service is not as it is to be. Its previous state stays where there is one.
func (d *Desired) refuse(m *Mirror, service string, err error) {
	object := "service " + service
	if service == "" {
		object = "backends without a frontend"
	}
	p := problemOf(object, err)
	if m.services[service] != nil {
		p.What += ", the service stays as it was"
	}
	d.refused[service] = p
}

// Refused are all objects that the maps don't hold as they are meant to be: nodes and pods come first, then services by name. What is
// refused for want of room is known when a plan is done (see Plan.Done). Problem.Field is a field of the object, or a setting of
// dsrd's configuration (sizes.…).
func (d *Desired) Refused() []services.Problem {
	all := slices.Clone(d.leftOut)
	for _, name := range slices.Sorted(maps.Keys(d.refused)) {
		all = append(all, d.refused[name])
	}
	return all
}

// ordered are the names of the services that have a spec: those that get room first come first.
func (d *Desired) ordered() []string {
	names := slices.Collect(maps.Keys(d.specs))
	precedence := d.precedence
	if precedence == nil {
		precedence = strings.Compare
	}
	slices.SortFunc(names, func(a, b string) int {
		if order := precedence(a, b); order != 0 {
			return order
		}
		return strings.Compare(a, b)
	})
	return names
}

// takenError reports that a frontend is another service's.
func takenError(key bpf.DatapathServiceKey, owner string) error {
	return &refusal{"frontend " + keyText(key), "it is that of service " + owner, "one service at a time can have it"}
}

// keyText is ADDRESS:PORT/PROTOCOL.
func keyText(k bpf.DatapathServiceKey) string {
	return bpf.AddrPort(k.Address, k.Port).String() + "/" + services.Protocol(k.Protocol).String()
}
