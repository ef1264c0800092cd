package services

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// world is a tracker, the objects that it should hold, and what its changes reported.
type world struct {
	t        testing.TB
	tracker  *Tracker
	options  Options
	services map[objectKey]*corev1.Service
	slices   map[objectKey]*discoveryv1.EndpointSlice
	nodes    []Node
	reserved []Reserved
	reported map[string]*Tables
}

func newWorld(t testing.TB, options Options) *world {
	return &world{
		t: t, tracker: NewTracker(options), options: options,
		services: map[objectKey]*corev1.Service{}, slices: map[objectKey]*discoveryv1.EndpointSlice{}, reported: map[string]*Tables{},
	}
}

func (w *world) apply(service *corev1.Service) []Change {
	w.services[objectKey{service.Namespace, service.Name}] = service
	return w.record(w.tracker.Apply(service))
}

func (w *world) applySlice(slice *discoveryv1.EndpointSlice) []Change {
	w.slices[objectKey{slice.Namespace, slice.Name}] = slice
	return w.record(w.tracker.ApplySlice(slice))
}

func (w *world) remove(namespace, name string) []Change {
	delete(w.services, objectKey{namespace, name})
	return w.record(w.tracker.Delete(namespace, name))
}

func (w *world) removeSlice(namespace, name string) []Change {
	delete(w.slices, objectKey{namespace, name})
	return w.record(w.tracker.DeleteSlice(namespace, name))
}

func (w *world) setNodes(nodes []Node) []Change {
	w.nodes = nodes
	return w.record(w.tracker.SetNodes(nodes))
}

func (w *world) setReserved(reserved []Reserved) []Change {
	w.reserved = reserved
	return w.record(w.tracker.SetReserved(reserved))
}

// state is what Build would be given.
func (w *world) state() State {
	state := State{Nodes: w.nodes, Reserved: w.reserved}
	for _, key := range slices.SortedFunc(maps.Keys(w.services), objectKey.compare) {
		state.Services = append(state.Services, *w.services[key])
	}
	for _, key := range slices.SortedFunc(maps.Keys(w.slices), objectKey.compare) {
		state.EndpointSlices = append(state.EndpointSlices, *w.slices[key])
	}
	return state
}

// record carries changes out as a data path would.
func (w *world) record(changes []Change) []Change {
	w.t.Helper()
	for _, c := range changes {
		before := w.reported[c.Service]
		if before == nil {
			before = emptyTables()
		}
		require.NotEqual(w.t, before, c.Tables, "service %s: a change that changes nothing", c.Service)
		w.reported[c.Service] = c.Tables
		owners := map[string]string{}
		for _, service := range slices.Sorted(maps.Keys(w.reported)) {
			for i := range w.reported[service].Frontends {
				f := &w.reported[service].Frontends[i]
				require.Equal(w.t, service, f.Service)
				require.NotContains(w.t, owners, f.String(), "frontend of %s and %s", service, owners[f.String()])
				owners[f.String()] = service
			}
		}
	}
	return changes
}

// check holds the tracker, and all that its changes reported, against what Build makes of the same objects.
func (w *world) check() {
	w.t.Helper()
	want, problems := Build(w.state(), w.options)
	require.Equal(w.t, want, w.tracker.Tables())
	require.Equal(w.t, problems, w.tracker.Problems())
	checkTables(w.t, want)
	require.Equal(w.t, want, w.merged())
	for key, service := range w.services {
		object := serviceObject(service)
		for _, p := range w.problemsOf(key.namespace, key.name) {
			require.Contains(w.t, problems, p, object)
		}
	}
}

// problemsOf are those of one service and its slices.
func (w *world) problemsOf(namespace, name string) []Problem {
	if e := w.tracker.entries[objectKey{namespace, name}]; e != nil {
		return e.allProblems()
	}
	return nil
}

// merged are the tables of all services that changes have reported.
func (w *world) merged() *Tables {
	backends := map[string]Backend{}
	for name, tables := range w.reported {
		for _, b := range tables.Backends {
			if other, twice := backends[b.Name()]; twice {
				require.Equal(w.t, other, b, "service %s has another idea of a backend", name)
			}
			backends[b.Name()] = b
		}
	}
	merged := emptyTables()
	merged.Backends = append(merged.Backends, slices.Collect(maps.Values(backends))...)
	slices.SortFunc(merged.Backends, func(x, y Backend) int {
		return backendKey{x.AddrPort(), x.Protocol}.compare(backendKey{y.AddrPort(), y.Protocol})
	})
	numbers := map[string]int{}
	for i := range merged.Backends {
		numbers[merged.Backends[i].Name()] = i
	}
	for _, tables := range w.reported {
		if tables.Zones != nil {
			merged.Zones = tables.Zones
		}
		number := func(in []int) (out []int) {
			for _, i := range in {
				out = append(out, numbers[tables.Backends[i].Name()])
			}
			return out
		}
		for _, f := range tables.Frontends {
			f.Backends = append([]int{}, number(f.Backends)...)
			f.Inside, f.Terminating, f.Hints = number(f.Inside), number(f.Terminating), f.Hints.numbered(number)
			merged.Frontends = append(merged.Frontends, f)
		}
	}
	slices.SortFunc(merged.Frontends, func(x, y Frontend) int { return x.compare(&y) })
	return merged
}

// change does something to the world, drawn from few names and addresses, so that services are in conflict.
func (d *dice) change(w *world) {
	switch d.roll(10) {
	case 0, 1, 2:
		w.apply(d.neighbour())
	case 3, 4, 5:
		w.applySlice(d.neighbourSlice())
	case 6:
		if d.roll(3) > 0 {
			w.remove("a", d.neighbourName())
		} else {
			w.removeSlice("a", d.neighbourName())
		}
	case 7:
		w.setNodes(d.neighbourhood())
	case 8: // from outside of any API server
		service, slice := d.service(), d.slice()
		w.apply(&service)
		w.applySlice(&slice)
	case 9:
		w.setReserved(pick(d, nil, []Reserved{{Prefix: netip.MustParsePrefix("203.0.113.2/32"), What: "the address of the gateway", Host: true}},
			[]Reserved{{Prefix: netip.MustParsePrefix("10.0.2.0/24"), What: "a network without hosts"}}))
	}
}

func (d *dice) neighbourName() string { return pick(d, "a", "b", "c", "d", "e") }

func (d *dice) neighbour() *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: d.neighbourName(),
			CreationTimestamp: metav1.Time{Time: time.Unix(int64(d.roll(3)), 0)}},
		Spec: corev1.ServiceSpec{
			Type:                  pick(d, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort, corev1.ServiceTypeClusterIP),
			ClusterIP:             pick(d, "10.96.0.1", "10.96.0.2", "fd00:96::1", ""),
			ExternalTrafficPolicy: pick(d, corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal),
			InternalTrafficPolicy: maybe(d, corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal),
		},
		Status: statusOf(pick(d, "203.0.113.1", "203.0.113.2", "2001:db8:1::1", "192.0.2.1")),
	}
	if d.roll(8) == 0 {
		service.Labels = map[string]string{corev1.IsHeadlessService: ""}
	}
	if d.roll(3) == 0 {
		service.Spec.ExternalIPs = []string{pick(d, "203.0.113.1", "203.0.113.3", "192.0.2.1", "198.51.100.1")}
	}
	for i := range 1 + d.roll(2) {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name: fmt.Sprint(i), Port: pick(d, int32(80), 443), NodePort: pick(d, int32(30001), 30002, 0)})
	}
	return service
}

func (d *dice) neighbourSlice() *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: d.neighbourName(),
			Labels: map[string]string{discoveryv1.LabelServiceName: d.neighbourName()}},
		AddressType: pick(d, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6),
	}
	if d.roll(4) == 0 {
		slice.Annotations = map[string]string{WeightAnnotation: "2"}
	}
	for i := range 1 + d.roll(2) {
		name, port := fmt.Sprint(i), pick(d, int32(8000), 8001)
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port})
	}
	for range d.roll(5) {
		address := pick(d, "10.0.1.1", "10.0.1.2", "10.0.2.1", "10.0.2.2")
		if slice.AddressType == discoveryv1.AddressTypeIPv6 {
			address = pick(d, "fd00:1::1", "fd00:2::1")
		}
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{address}, NodeName: maybe(d, "n1", "n2", "n3"),
			Conditions: discoveryv1.EndpointConditions{
				Ready: maybe(d, true, true, false), Serving: maybe(d, true, false), Terminating: maybe(d, true, false)},
			Hints: d.hints(),
		})
	}
	return slice
}

func (d *dice) hints() *discoveryv1.EndpointHints {
	return pick(d, nil, nil, &discoveryv1.EndpointHints{ForNodes: []discoveryv1.ForNode{{Name: pick(d, "n1", "n2", "")}}},
		&discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: pick(d, "a", "b", "")}, {Name: "a"}}}, &discoveryv1.EndpointHints{})
}

func (d *dice) neighbourhood() []Node {
	all := []Node{
		{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}},
		{Name: "n2", Addresses: []netip.Addr{netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("192.0.2.2")},
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.2.0/24"), netip.MustParsePrefix("fd00:2::/64")}},
		{Name: "n3", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.3")}, Zone: "a"},
	}
	return slices.DeleteFunc(all, func(Node) bool { return d.roll(4) == 0 })
}

// live lets a world change until the dice have nothing left, and checks it every so often.
func live(t testing.TB, data []byte) {
	d := &dice{data}
	w := newWorld(t, Options{Mode: ModeDSR, ExternalIPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("192.0.2.0/24")}})
	w.setNodes(d.neighbourhood())
	for len(d.data) > 0 {
		d.change(w)
		if d.roll(4) == 0 {
			w.check()
		}
	}
	w.check()
	require.Equal(t, len(w.tracker.Tables().Frontends), len(w.tracker.reported), "frontends that nobody has are remembered")
	w.record(w.tracker.Load(State{}))
	assert.Empty(t, w.tracker.slots)
	assert.Empty(t, w.tracker.backends)
	assert.Empty(t, w.tracker.reported)
}
