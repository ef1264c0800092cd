package services

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Tracker holds objects in compiled form, so that a change costs as much as what it changes. After any changes it has the same
// tables as Build makes of the objects that it then holds.
//
// It keeps the objects that it is given, which must not be changed any more (an informer's are such). The tables and all that
// is in them may be shared and must not be changed either. A Tracker is not safe for concurrent use.
type Tracker struct {
	options    Options
	invalid    []Problem // of the options
	nodes      *nodeIndex
	reserved   []Reserved
	slices     map[objectKey]objectKey // to the service that each is of
	byService  map[objectKey][]*discoveryv1.EndpointSlice
	orphans    map[objectKey]Problem // slices of no service
	duplicates []Problem

	entries  map[objectKey]*entry
	slots    map[frontendKey]*slot
	reported map[frontendKey]*entry // the last Change that had it was this entry's
	backends map[backendKey]*shared
}

// Change is what has become of one service.
type Change struct {
	// Service is namespace/name.
	Service string
	// Tables are all frontends of the service and the backends that they have; none when the service has gone. Backends are
	// as in the tables of all services: what other services say of a shared one is taken into account.
	Tables *Tables
}

// NewTracker makes a tracker without objects.
func NewTracker(options Options) *Tracker {
	t := &Tracker{
		slices:    map[objectKey]objectKey{},
		byService: map[objectKey][]*discoveryv1.EndpointSlice{},
		orphans:   map[objectKey]Problem{},
		entries:   map[objectKey]*entry{},
		slots:     map[frontendKey]*slot{},
		reported:  map[frontendKey]*entry{},
		backends:  map[backendKey]*shared{},
	}
	t.options, t.invalid = options.checked()
	t.nodes = indexNodes(nil)
	return t
}

// Apply takes a service that is new or has changed.
//
// Like all methods that return changes it returns those services whose tables differ from what was last reported, in an order in
// which no frontend is of two services at any time: a service that loses one to another comes first. One that loses and gains
// comes twice, at first without what it gains. Apart from that they are ordered by name.
func (t *Tracker) Apply(service *corev1.Service) []Change {
	return t.replace(map[objectKey]*corev1.Service{{service.Namespace, service.Name}: service})
}

// Delete forgets a service, if there is one of this name. Its slices stay until they are deleted, too.
func (t *Tracker) Delete(namespace, name string) []Change {
	return t.replace(map[objectKey]*corev1.Service{{namespace, name}: nil})
}

// ApplySlice takes a slice that is new or has changed, even to another service.
func (t *Tracker) ApplySlice(slice *discoveryv1.EndpointSlice) []Change {
	key := objectKey{slice.Namespace, slice.Name}
	from := t.removeSlice(key)
	return t.rebuild(from, t.addSlice(key, slice))
}

// DeleteSlice forgets a slice, if there is one of this name.
func (t *Tracker) DeleteSlice(namespace, name string) []Change {
	return t.rebuild(t.removeSlice(objectKey{namespace, name}))
}

// SetNodes takes all nodes there are. Unlike other changes it costs as much as there are services, unless nothing the tables
// follow from has changed.
func (t *Tracker) SetNodes(nodes []Node) []Change {
	if !t.setNodes(nodes) {
		return nil
	}
	return t.rebuildAll()
}

func (t *Tracker) rebuildAll() []Change { return t.rebuild(slices.Collect(maps.Keys(t.entries))...) }

// setNodes reports whether they have changed.
func (t *Tracker) setNodes(nodes []Node) bool {
	before := t.nodes
	t.nodes = indexNodes(nodes)
	return !t.nodes.equal(before)
}

// addSlice returns the service that the slice is of; it may be unknown. A slice that someone else serves is as if it were not there.
func (t *Tracker) addSlice(key objectKey, slice *discoveryv1.EndpointSlice) objectKey {
	service := objectKey{slice.Namespace, slice.Labels[discoveryv1.LabelServiceName]}
	if isServedElsewhere(slice.Labels) {
		return service
	}
	if service.name == "" {
		t.orphans[key] = Problem{sliceObject(slice), "metadata.labels", "the slice is of no service",
			"name its service in the label " + discoveryv1.LabelServiceName}
		return service
	}
	t.slices[key] = service
	group := t.byService[service]
	at, _ := slices.BinarySearchFunc(group, slice, byName)
	t.byService[service] = slices.Insert(group, at, slice)
	return service
}

// removeSlice returns the service that the slice was of.
func (t *Tracker) removeSlice(key objectKey) objectKey {
	delete(t.orphans, key)
	service, ok := t.slices[key]
	if !ok {
		return service
	}
	delete(t.slices, key)
	group := slices.DeleteFunc(t.byService[service], func(s *discoveryv1.EndpointSlice) bool { return s.Name == key.name })
	if t.byService[service] = group; len(group) == 0 {
		delete(t.byService, service)
	}
	return service
}

// rebuild compiles services anew, those of them that are known.
func (t *Tracker) rebuild(keys ...objectKey) []Change {
	replacements := make(map[objectKey]*corev1.Service, len(keys))
	for _, key := range keys {
		if e := t.entries[key]; e != nil {
			replacements[key] = e.spec.service
		}
	}
	return t.replace(replacements)
}

// Tables are those of all objects in the tracker.
func (t *Tracker) Tables() *Tables {
	known := make([]*shared, 0, len(t.backends))
	for _, s := range t.backends {
		if s.knownBy > 0 {
			known = append(known, s)
		}
	}
	slices.SortFunc(known, func(x, y *shared) int { return x.key.compare(y.key) })
	all := emptyTables()
	all.Backends = make([]Backend, len(known))
	for i, s := range known {
		s.number = i
		all.Backends[i] = s.backend()
	}
	for _, e := range t.entries {
		numbers := make([]int, len(e.shared))
		for i, s := range e.shared {
			numbers[i] = s.number
		}
		all.Frontends = append(all.Frontends, e.frontends(numbers)...)
	}
	slices.SortFunc(all.Frontends, func(x, y Frontend) int { return x.compare(&y) })
	all.keepZones(t.nodes)
	return all
}

// emptyTables are tables without frontends.
func emptyTables() *Tables {
	return &Tables{Frontends: []Frontend{}, Backends: []Backend{}}
}

// Problems are those of all objects in the tracker: of options, nodes and slices first, then of services, the oldest first.
func (t *Tracker) Problems() []Problem {
	all := slices.Concat(t.invalid, t.nodes.problems, t.duplicates)
	for _, key := range slices.SortedFunc(maps.Keys(t.orphans), objectKey.compare) {
		all = append(all, t.orphans[key])
	}
	for _, e := range slices.SortedFunc(maps.Values(t.entries), (*entry).compare) {
		all = append(all, e.allProblems()...)
	}
	return all
}

func (k objectKey) compare(other objectKey) int {
	return cmp.Or(cmp.Compare(k.namespace, other.namespace), cmp.Compare(k.name, other.name))
}
