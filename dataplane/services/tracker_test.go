package services

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// After any changes a tracker has the tables that Build makes of what is left.
func TestTrackerIsBuild(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for range 200 {
		live(t, noise(random, 1500))
	}
}

func FuzzTracker(f *testing.F) {
	random := rand.New(rand.NewPCG(11, 12))
	for size := 1; size < 4000; size *= 3 {
		f.Add(noise(random, size))
	}
	f.Fuzz(func(t *testing.T, data []byte) { live(t, data) })
}

// vips makes a service of some VIPs, created in a given second.
func vips(name string, created int64, ports ...int32) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, CreationTimestamp: metav1.Time{Time: time.Unix(created, 0)}},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
		Status:     statusOf("203.0.113.1"),
	}
	for _, port := range ports {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint(port), Port: port})
	}
	return service
}

// summary is SERVICE: PORT PORT … of each change.
func summary(changes []Change) []string {
	lines := []string{}
	for _, c := range changes {
		line := c.Service + ":"
		for _, f := range c.Tables.Frontends {
			line += fmt.Sprintf(" %d", f.Port)
		}
		lines = append(lines, line)
	}
	return lines
}

// The older service has an address, whatever came first.
func TestTrackerConflicts(t *testing.T) {
	w := newWorld(t, Options{})
	assert.Equal(t, []string{"a/young: 80 443"}, summary(w.apply(vips("young", 2, 80, 443))))
	assert.Equal(t, []string{"a/young: 443", "a/old: 80"}, summary(w.apply(vips("old", 1, 80))))
	assert.Equal(t, []Problem{{"service a/young", "spec.ports[0]", "service a/old has 203.0.113.1:80/TCP",
		"use an address, port and protocol of its own"}}, w.problemsOf("a", "young"))
	assert.Empty(t, w.apply(vips("old", 1, 80)), "the same again")
	assert.Empty(t, w.apply(vips("third", 3, 80)), "has nothing, and never had")
	assert.Equal(t, []string{"a/old:", "a/young: 80 443"}, summary(w.remove("a", "old")))
	assert.Empty(t, w.problemsOf("a", "young"))
	assert.Equal(t, []string{"a/young:", "a/third: 80"}, summary(w.remove("a", "young")))
	assert.Empty(t, w.remove("a", "young"))
	w.check()
}

// Two services that exchange addresses in one change come twice, at first with what neither takes from the other.
func TestTrackerExchange(t *testing.T) {
	w := newWorld(t, Options{})
	w.apply(vips("a", 2, 80, 443, 53))
	assert.Equal(t, []string{"a/a: 53 443", "a/c: 80"}, summary(w.apply(vips("c", 1, 80))))
	assert.Equal(t, []string{"a/a: 443", "a/c:", "a/a: 80 443", "a/c: 53"}, summary(w.apply(vips("c", 1, 53))))
	w.check()
}

// A backend that two services share drains when neither selects it, and both are reported.
func TestTrackerSharedBackend(t *testing.T) {
	w := newWorld(t, Options{})
	w.setNodes([]Node{{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}, {Name: "n2", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.2")}}})
	w.apply(vips("a", 1, 80))
	w.apply(vips("b", 2, 443))
	endpoints := func(service, port, node string, ready bool) *discoveryv1.EndpointSlice {
		number := int32(8000)
		return &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "a", Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: &port, Port: &number}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.1.1"}, NodeName: &node,
				Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		}
	}
	draining := func(service string) bool { return w.reported["a/"+service].Backends[0].Draining }
	node := func(service string) string { return w.reported["a/"+service].Backends[0].Node }

	assert.Equal(t, []string{"a/a: 80"}, summary(w.applySlice(endpoints("a", "80", "n1", false))))
	assert.True(t, draining("a"))
	assert.Equal(t, []string{"a/a: 80", "a/b: 443"}, summary(w.applySlice(endpoints("b", "443", "n2", true))), "a's backend does not drain any more")
	assert.False(t, draining("a"))
	assert.Equal(t, "n1", node("b"), "the older service's word counts")
	assert.Equal(t, []Problem{{"endpointslice a/b", "endpoints", "10.0.1.1:8000 is on node n2 here and on node n1 in endpointslice a/a",
		"name one node for one address"}}, w.problemsOf("a", "b"))
	assert.Equal(t, []string{"a/a:", "a/b: 443"}, summary(w.remove("a", "a")))
	assert.Equal(t, "n2", node("b"))
	w.check()
}

// Slices may come before their service, move to another, and lose their label.
func TestTrackerSlicesMove(t *testing.T) {
	w := newWorld(t, Options{})
	w.setNodes([]Node{{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}}})
	slice := func(service string) *discoveryv1.EndpointSlice {
		name, port := "80", int32(8000)
		return &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "a", Name: "x", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.0.1.1"}}},
		}
	}
	backends := func(service string) int { return len(w.reported["a/"+service].Backends) }
	assert.Empty(t, w.applySlice(slice("a")))
	assert.Len(t, w.apply(vips("a", 1, 80)), 1)
	assert.Equal(t, 1, backends("a"))
	b := vips("b", 1, 80)
	b.Status = statusOf("203.0.113.2")
	w.apply(b)
	assert.Len(t, w.applySlice(slice("b")), 2)
	assert.Equal(t, []int{0, 1}, []int{backends("a"), backends("b")})
	assert.Len(t, w.applySlice(slice("")), 1)
	assert.Len(t, w.tracker.Problems(), 1)
	assert.Empty(t, w.removeSlice("a", "x"))
	assert.Empty(t, w.tracker.Problems())
	w.check()
}

// Load says what differs from before.
func TestTrackerLoad(t *testing.T) {
	w := newWorld(t, Options{})
	state := State{Services: []corev1.Service{*vips("a", 1, 80), *vips("b", 2, 443)}}
	assert.Equal(t, []string{"a/a: 80", "a/b: 443"}, summary(w.record(w.tracker.Load(state))))
	assert.Empty(t, w.tracker.Load(state))
	state = State{Services: []corev1.Service{*vips("c", 1, 80), *vips("b", 2, 443)}}
	assert.Equal(t, []string{"a/a:", "a/c: 80"}, summary(w.record(w.tracker.Load(state))))
}
