package assess

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// untried names what could not be read and is needed, the services that were not called, and those with pods on nodes that were not probed, or
// nobody knows where: nothing that was seen is about them.
func (j *judge) untried() {
	for _, u := range j.o.Unread {
		if u.Needed {
			j.miss(Unknown{Services: []string{}, What: u.What})
		}
	}
	var uncalled, elsewhere, anywhere []string
	nodes := map[string]bool{}
	for _, s := range sortedServices(j.o.Services) {
		name := nameOf(s.Service)
		if !answersAcrossNodes(s) || len(j.names) == 0 {
			continue
		}
		if len(j.o.WayIn) > 0 && !j.isCalled(s, name) && !j.isMissed(name) {
			uncalled = append(uncalled, name)
		}
		if s.Endpoints == nil {
			anywhere = append(anywhere, name)
		}
		for node, pods := range s.Endpoints {
			if _, probed := j.nodes[node]; pods > 0 && !probed {
				nodes[node] = true
				elsewhere = appendNew(elsewhere, name)
			}
		}
	}
	if len(uncalled) > 0 {
		j.miss(Unknown{Services: uncalled, What: "what nodes see of calls to " + someOf(uncalled) + ": not tried"})
	}
	if len(anywhere) > 0 {
		j.miss(Unknown{Services: anywhere, What: "which nodes have pods of " + someOf(anywhere)})
	}
	if len(elsewhere) > 0 {
		j.miss(Unknown{Services: elsewhere, What: fmt.Sprintf("whether the client gets replies of pods on nodes that were not probed (%s): %s",
			someOf(slices.Sorted(maps.Keys(nodes))), someOf(elsewhere))})
	}
}

// isCalled reports whether a service was called, and by a VIP of each family if it has one of it.
func (j *judge) isCalled(s Service, name string) bool {
	called := func(is func(Frontend) bool) bool {
		return slices.ContainsFunc(j.o.WayIn, func(p WayInProbe) bool { return p.Frontend.Service == name && p.Sent > 0 && is(p.Frontend) })
	}
	vips := vipsOf(s.Service, j.own)
	for _, f := range j.families {
		inFamily := func(a netip.Addr) bool { return familyOf(a) == f }
		if slices.ContainsFunc(vips, inFamily) && !called(func(one Frontend) bool { return one.Kind == VIP && inFamily(one.Address.Addr()) }) {
			return false
		}
	}
	return called(func(Frontend) bool { return true })
}

// isMissed reports whether it is said already that calls to a service were not tried.
func (j *judge) isMissed(name string) bool {
	return slices.ContainsFunc(j.unknown, func(u Unknown) bool { return u.Frontend != nil && u.Frontend.Service == name })
}

// someOf lists names, or the first and how many more there are.
func someOf(all []string) string {
	if more := len(all) - maxPlaces; more > 1 {
		all = append(slices.Clone(all[:maxPlaces]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, ", ")
}
