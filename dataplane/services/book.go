package services

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Book holds objects in compiled form, so that a change costs what changes. After any changes it says the same as Build says
// of the objects that it then holds.
//
// It keeps the objects that it is given, which must not be changed any more (an informer's are such). The tables and all that
// is in them may be shared and must not be changed either. A Book is not safe for concurrent use.
type Book struct {
	options    Options
	invalid    []Problem // of the options
	places     *places
	slices     map[objectKey]objectKey // to the service that each is of
	byService  map[objectKey][]*discoveryv1.EndpointSlice
	orphans    map[objectKey]Problem // slices of no service
	duplicates []Problem

	entries  map[objectKey]*entry
	sites    map[frontendKey]*site
	owners   map[frontendKey]*entry // that were last told to have them
	backends map[backendKey]*shared
}

// Change is what has become of one service.
type Change struct {
	// Service is namespace/name.
	Service string
	// Tables are all frontends of the service and the backends that they have; none when the service has gone. Backends are
	// as in the tables of all services: what another service has to say of a shared one is heeded.
	Tables *Tables
}

// NewBook makes a book without objects.
func NewBook(options Options) *Book {
	b := &Book{
		slices:    map[objectKey]objectKey{},
		byService: map[objectKey][]*discoveryv1.EndpointSlice{},
		orphans:   map[objectKey]Problem{},
		entries:   map[objectKey]*entry{},
		sites:     map[frontendKey]*site{},
		owners:    map[frontendKey]*entry{},
		backends:  map[backendKey]*shared{},
	}
	b.options, b.invalid = options.checked()
	b.places = placesOf(nil)
	return b
}

// Apply takes a service that is new or has changed.
//
// Like all methods that return changes it returns those services whose tables differ from what was said last, in an order in
// which no frontend is of two services at any time: a service that loses one to another comes first. One that loses and gains
// comes twice, at first without what it gains. Apart from that they are ordered by name.
func (b *Book) Apply(service *corev1.Service) []Change {
	return b.replace(map[objectKey]*corev1.Service{{service.Namespace, service.Name}: service})
}

// Delete forgets a service, if there is one of this name. Its slices stay until they are deleted, too.
func (b *Book) Delete(namespace, name string) []Change {
	return b.replace(map[objectKey]*corev1.Service{{namespace, name}: nil})
}

// ApplySlice takes a slice that is new or has changed, even to another service.
func (b *Book) ApplySlice(slice *discoveryv1.EndpointSlice) []Change {
	key := objectKey{slice.Namespace, slice.Name}
	from := b.removeSlice(key)
	return b.again(from, b.addSlice(key, slice))
}

// DeleteSlice forgets a slice, if there is one of this name.
func (b *Book) DeleteSlice(namespace, name string) []Change {
	return b.again(b.removeSlice(objectKey{namespace, name}))
}

// SetNodes takes all nodes there are. Unlike other changes it costs as much as there are services, unless nothing the tables
// follow from has changed.
func (b *Book) SetNodes(nodes []Node) []Change {
	if !b.setNodes(nodes) {
		return nil
	}
	return b.again(slices.Collect(maps.Keys(b.entries))...)
}

// setNodes says whether they have changed.
func (b *Book) setNodes(nodes []Node) bool {
	before := b.places
	b.places = placesOf(nodes)
	return !b.places.equal(before)
}

// addSlice returns the service that the slice is of; it may be unknown.
func (b *Book) addSlice(key objectKey, slice *discoveryv1.EndpointSlice) objectKey {
	service := objectKey{slice.Namespace, slice.Labels[discoveryv1.LabelServiceName]}
	if service.name == "" {
		b.orphans[key] = Problem{sliceObject(slice), "metadata.labels", "the slice is of no service",
			"name its service in the label " + discoveryv1.LabelServiceName}
		return service
	}
	b.slices[key] = service
	group := b.byService[service]
	at, _ := slices.BinarySearchFunc(group, slice, byName)
	b.byService[service] = slices.Insert(group, at, slice)
	return service
}

// removeSlice returns the service that the slice was of.
func (b *Book) removeSlice(key objectKey) objectKey {
	delete(b.orphans, key)
	service, ok := b.slices[key]
	if !ok {
		return service
	}
	delete(b.slices, key)
	group := slices.DeleteFunc(b.byService[service], func(s *discoveryv1.EndpointSlice) bool { return s.Name == key.name })
	if b.byService[service] = group; len(group) == 0 {
		delete(b.byService, service)
	}
	return service
}

// again compiles services anew, those of them that are known.
func (b *Book) again(keys ...objectKey) []Change {
	replacements := make(map[objectKey]*corev1.Service, len(keys))
	for _, key := range keys {
		if e := b.entries[key]; e != nil {
			replacements[key] = e.demand.service
		}
	}
	return b.replace(replacements)
}

// Tables are those of all objects in the book.
func (b *Book) Tables() *Tables {
	known := make([]*shared, 0, len(b.backends))
	for _, s := range b.backends {
		if s.knownBy > 0 {
			known = append(known, s)
		}
	}
	slices.SortFunc(known, func(x, y *shared) int { return x.key.compare(y.key) })
	t := b.nothing()
	t.Backends = make([]Backend, len(known))
	for i, s := range known {
		s.number = i
		t.Backends[i] = s.backend()
	}
	for _, e := range b.entries {
		numbers := make([]int, len(e.shared))
		for i, s := range e.shared {
			numbers[i] = s.number
		}
		t.Frontends = append(t.Frontends, e.frontends(numbers, b.options.TableSize)...)
	}
	slices.SortFunc(t.Frontends, func(x, y Frontend) int { return x.compare(&y) })
	return t
}

// nothing are tables without frontends.
func (b *Book) nothing() *Tables {
	return &Tables{Frontends: []Frontend{}, Backends: []Backend{}, TableSize: b.options.TableSize}
}

// Problems are those of all objects in the book: of options, nodes and slices first, then of services, the oldest first.
func (b *Book) Problems() []Problem {
	all := slices.Concat(b.invalid, b.places.problems, b.duplicates)
	for _, key := range slices.SortedFunc(maps.Keys(b.orphans), objectKey.compare) {
		all = append(all, b.orphans[key])
	}
	for _, e := range slices.SortedFunc(maps.Values(b.entries), (*entry).compare) {
		all = append(all, e.allProblems()...)
	}
	return all
}

func (k objectKey) compare(other objectKey) int {
	return cmp.Or(cmp.Compare(k.namespace, other.namespace), cmp.Compare(k.name, other.name))
}
