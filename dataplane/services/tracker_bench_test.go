package services

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// manyServices are services with a ClusterIP and a VIP each, and some backends on 16 nodes.
func manyServices(services, backends int) State {
	var state State
	for i := range 16 {
		state.Nodes = append(state.Nodes, Node{Name: fmt.Sprintf("n%02d", i), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 168, 0, byte(i + 1)})}})
	}
	for i := range services {
		meta := metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("s%05d", i)}
		state.Services = append(state.Services, corev1.Service{
			ObjectMeta: meta,
			Spec: corev1.ServiceSpec{
				Type:      corev1.ServiceTypeLoadBalancer,
				ClusterIP: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}).String(),
				Ports:     []corev1.ServicePort{{Name: "web", Port: 80}},
			},
			Status: statusOf(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String()),
		})
		name, port := "web", int32(8080)
		meta.Labels = map[string]string{discoveryv1.LabelServiceName: meta.Name}
		slice := discoveryv1.EndpointSlice{
			ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4,
			Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		}
		for j := range backends {
			n := i*backends + j
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String()},
				NodeName:  &state.Nodes[n%16].Name,
			})
		}
		state.EndpointSlices = append(state.EndpointSlices, slice)
	}
	return state
}

// BenchmarkBuild10k builds the tables of 10,000 services of 10 backends each.
func BenchmarkBuild10k(b *testing.B) {
	state := manyServices(10000, 10)
	b.ReportAllocs()
	for b.Loop() {
		tables, problems := Build(state, Options{})
		require.Empty(b, problems)
		require.Len(b, tables.Backends, 100000)
		require.Len(b, tables.Frontends, 20000)
	}
}

// BenchmarkTrackerChange changes one of them: one endpoint comes, or goes again.
func BenchmarkTrackerChange(b *testing.B) {
	state := manyServices(10000, 10)
	tracker := NewTracker(Options{})
	tracker.Load(state)
	full := &state.EndpointSlices[5000]
	less := full.DeepCopy()
	less.Endpoints = less.Endpoints[:9]
	forms := []*discoveryv1.EndpointSlice{less, full}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		changes := tracker.ApplySlice(forms[i%2])
		require.Len(b, changes, 1)
		i++
	}
}

// BenchmarkTrackerResync applies an object that has not changed, as informers do every now and then.
func BenchmarkTrackerResync(b *testing.B) {
	state := manyServices(10000, 10)
	tracker := NewTracker(Options{})
	tracker.Load(state)
	for b.Loop() {
		require.Empty(b, tracker.Apply(&state.Services[5000]))
	}
}
