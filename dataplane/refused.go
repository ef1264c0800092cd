package dataplane

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Result is what Apply or Update came to.
type Result struct {
	// Changed is how many entries of maps changed; a set of backends counts as one.
	Changed int
	// Refused are all objects that the data path does not hold as they are meant to be: what can't be used or finds no room is
	// left out, and nothing else. Problem.Field is a field of the object, or a setting of dsrd's configuration (sizes.…).
	// Nodes and pods come first, then services by name.
	Refused []services.Problem
}

// Err returns all that was refused as one error, nil if nothing was: for callers that need all or nothing.
func (r Result) Err() error {
	var errs []error
	for _, p := range r.Refused {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// refusal is why a service is left out, as in services.Problem.
type refusal struct{ field, what, want string }

func (e *refusal) Error() string { return fmt.Sprintf("%s: %s; %s", e.field, e.what, e.want) }

// full is the error of what finds no room in a map. It names the setting that gives the map more.
func (c capacities) full(mapName string) error {
	return &refusal{sizeOf(mapName), fmt.Sprintf("no room in map %s with its %d entries", mapName, c[mapName]), "raise it in dsrd's configuration"}
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
func (s *desiredState) refuse(m *mirror, service string, err error) {
	object := "service " + service
	if service == "" {
		object = "backends without a frontend"
	}
	p := problemOf(object, err)
	if m.services[service] != nil {
		p.What += ", the service stays as it was"
	}
	s.refused[service] = p
}

// refusals are all objects that are refused: those of the view, then services by name.
func (s *desiredState) refusals() []services.Problem {
	all := slices.Clone(s.leftOut)
	for _, name := range slices.Sorted(maps.Keys(s.refused)) {
		all = append(all, s.refused[name])
	}
	return all
}

// ordered are the names of the services that have a spec: those that get room first come first.
func (s *desiredState) ordered() []string {
	names := slices.Collect(maps.Keys(s.specs))
	precedence := s.precedence
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
