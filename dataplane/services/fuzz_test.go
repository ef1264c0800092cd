package services

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzBuild gives Build objects that no API server would let pass. It must not panic, must say the same twice, and its
// tables must hold together.
func FuzzBuild(f *testing.F) {
	random := rand.New(rand.NewPCG(5, 6))
	for size := 1; size < 4000; size *= 3 {
		f.Add(noise(random, size))
	}
	f.Fuzz(checkHostile)
}

// TestBuildHostile does the same a thousand times, without the fuzzer.
func TestBuildHostile(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 1000 {
		checkHostile(t, noise(random, 400))
	}
}

func noise(random *rand.Rand, size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

func checkHostile(t *testing.T, data []byte) {
	d := &dice{data}
	state := d.state()
	options := Options{ExternalIPs: pick(d, nil, everywhere), Mode: Mode(d.text())}
	tables, problems := Build(state, options)
	again, _ := Build(state, options)
	require.Equal(t, tables, again)
	for _, p := range problems {
		require.NotContains(t, p.Error(), "%!", "a format and its arguments differ")
		require.NotContains(t, []string{p.Object, p.Field, p.What, p.Want}, "")
	}
	checkTables(t, tables)
}

// dice makes choices from the fuzzer's bytes, and always the first one when they are used up.
type dice struct{ data []byte }

func (d *dice) roll(sides int) int {
	if len(d.data) == 0 {
		return 0
	}
	value := int(d.data[0])
	d.data = d.data[1:]
	return value % sides
}

func pick[T any](d *dice, choices ...T) T { return choices[d.roll(len(choices))] }

// maybe is nil, or a pointer to one of the choices.
func maybe[T any](d *dice, choices ...T) *T {
	if d.roll(3) == 0 {
		return nil
	}
	value := pick(d, choices...)
	return &value
}

func (d *dice) text() string {
	return pick(d, "", "a", "b", "hybrid", "dsr", "None", "80", "0", "\xff\x00", "ClientIP", "Local", "a very long name which is none")
}

func (d *dice) address() string {
	return pick(d, "10.0.1.2", "10.0.1.3", "10.0.2.2", "fd00::2", "fd00:1::3", "192.0.2.1", "2001:db8::1", "", "None", "::ffff:10.0.1.2",
		"127.0.0.1", "::", "0.0.0.0", "fe80::1%eth0", "2001:db8::1%x", "224.0.0.1", "1.2.3", "01.2.3.4", "\x00")
}

func (d *dice) number() int32 {
	return pick(d, int32(80), 53, 0, -1, 65535, 65536, 1<<31-1, -1<<31, 30000)
}

func (d *dice) protocol() corev1.Protocol {
	return pick(d, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP, "", "tcp")
}

func (d *dice) state() State {
	var state State
	for range d.roll(4) {
		address, _ := netip.ParseAddr(d.address())
		prefix, _ := netip.ParsePrefix(pick(d, "10.0.1.0/24", "fd00::/64", "", "0.0.0.0/0"))
		node := Node{Name: d.text(), Addresses: []netip.Addr{address}, PodCIDRs: []netip.Prefix{prefix}}
		for range d.roll(3) {
			other, _ := netip.ParseAddr(d.address())
			otherPrefix, _ := netip.ParsePrefix(pick(d, "10.0.2.0/24", "fd00:1::/64", ""))
			node.Addresses, node.PodCIDRs = append(node.Addresses, other), append(node.PodCIDRs, otherPrefix)
		}
		state.Nodes = append(state.Nodes, node)
	}
	for range d.roll(3) {
		prefix, _ := netip.ParsePrefix(pick(d, "192.0.2.1/32", "10.0.0.0/8", "::/0", ""))
		state.Reserved = append(state.Reserved, Reserved{Prefix: prefix, What: "taken", Host: d.roll(2) == 0})
	}
	for range d.roll(6) {
		state.Services = append(state.Services, d.service())
	}
	for range d.roll(6) {
		state.EndpointSlices = append(state.EndpointSlices, d.slice())
	}
	return state
}

func (d *dice) meta(labels ...string) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Name: pick(d, "a", "b", "c", ""), Namespace: pick(d, "a", ""), Labels: map[string]string{}}
	for _, label := range labels {
		if d.roll(4) > 0 {
			meta.Labels[label] = pick(d, "a", "b", "c", "")
		}
	}
	meta.Annotations = pick(d, nil, map[string]string{
		ModeAnnotation: d.text(), SelectionAnnotation: pick(d, "random", "consistent", "maglev", "", "x"),
		WeightAnnotation: pick(d, "1", "3", "0", "-1", "1e9", "")})
	meta.CreationTimestamp = metav1.Time{Time: pick(d, time.Time{}, time.Unix(1, 0))}
	return meta
}

func (d *dice) service() corev1.Service {
	service := corev1.Service{ObjectMeta: d.meta(), Spec: corev1.ServiceSpec{
		Type:                  pick(d, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort, "", corev1.ServiceTypeExternalName, "x"),
		ClusterIP:             d.address(),
		IPFamilies:            pick(d, nil, []corev1.IPFamily{}, []corev1.IPFamily{corev1.IPv6Protocol}, []corev1.IPFamily{"x"}),
		ExternalTrafficPolicy: pick(d, corev1.ServiceExternalTrafficPolicyLocal, "", "x"),
		InternalTrafficPolicy: maybe(d, corev1.ServiceInternalTrafficPolicyLocal, "x"),
		HealthCheckNodePort:   d.number(),
		SessionAffinity:       corev1.ServiceAffinity(d.text()),
		SessionAffinityConfig: maybe(d, corev1.SessionAffinityConfig{}, corev1.SessionAffinityConfig{
			ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: maybe(d, d.number())}}),
		PublishNotReadyAddresses: d.roll(2) == 1,
	}}
	service.Spec.LoadBalancerIP = d.address() // what the user asks for, and no controller has granted
	for range d.roll(3) {
		service.Spec.ClusterIPs = append(service.Spec.ClusterIPs, d.address())
		service.Spec.ExternalIPs = append(service.Spec.ExternalIPs, d.address())
		service.Spec.LoadBalancerSourceRanges = append(service.Spec.LoadBalancerSourceRanges, pick(d, "10.0.0.0/8", "", " ::/0 ", "x/8"))
		service.Status.LoadBalancer.Ingress = append(service.Status.LoadBalancer.Ingress,
			corev1.LoadBalancerIngress{IP: d.address(), IPMode: maybe(d, corev1.LoadBalancerIPModeProxy, "x")})
	}
	for range d.roll(4) {
		service.Spec.Ports = append(service.Spec.Ports,
			corev1.ServicePort{Name: pick(d, "", "a"), Protocol: d.protocol(), Port: d.number(), NodePort: d.number()})
	}
	return service
}

func (d *dice) slice() discoveryv1.EndpointSlice {
	slice := discoveryv1.EndpointSlice{
		ObjectMeta:  d.meta(discoveryv1.LabelServiceName),
		AddressType: pick(d, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN, ""),
	}
	for range d.roll(4) {
		slice.Ports = append(slice.Ports,
			discoveryv1.EndpointPort{Name: maybe(d, "", "a"), Protocol: maybe(d, d.protocol()), Port: maybe(d, d.number())})
	}
	for range d.roll(8) {
		endpoint := discoveryv1.Endpoint{
			NodeName: maybe(d, "a", "b", ""),
			Conditions: discoveryv1.EndpointConditions{
				Ready: maybe(d, true, false), Serving: maybe(d, true, false), Terminating: maybe(d, true, false)},
			Hints: d.hints(),
		}
		for range d.roll(3) {
			endpoint.Addresses = append(endpoint.Addresses, d.address())
		}
		slice.Endpoints = append(slice.Endpoints, endpoint)
	}
	return slice
}

// checkTables checks what consumers of the tables rely on.
func checkTables(t testing.TB, tables *Tables) {
	t.Helper()
	used := map[int]bool{}
	names := map[string]bool{}
	for i := range tables.Backends {
		b := &tables.Backends[i]
		require.False(t, names[b.Name()], "backend %s twice", b.Name())
		names[b.Name()] = true
		require.NotZero(t, b.Port)
		require.NotZero(t, b.Weight)
		require.True(t, usable(b.Address))
		require.Equal(t, b.Outside(), !b.NodeAddress.IsValid())
		require.True(t, b.Outside() || usable(b.NodeAddress))
	}
	frontends := map[string]bool{}
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		require.False(t, frontends[f.String()], "frontend %s twice", f)
		frontends[f.String()] = true
		require.Contains(t, []Mode{ModeSNAT, ModeDSR}, f.Mode)
		require.Contains(t, []Selection{SelectionConsistent, SelectionRandom}, f.Selection)
		require.NotZero(t, f.Port)
		require.True(t, usable(f.Address))
		require.IsIncreasing(t, append([]int{-2, -1}, f.Backends...))
		require.IsIncreasing(t, append([]int{-2, -1}, f.Inside...))
		require.IsIncreasing(t, append([]int{-2, -1}, f.Terminating...))
		require.Subset(t, f.Backends, f.Inside)
		require.Subset(t, f.Backends, f.Terminating)
		for _, index := range f.Backends {
			b := tables.Backends[index]
			used[index] = true
			require.Equal(t, f.Protocol, b.Protocol)
			require.Equal(t, f.Address.Is6(), b.Address.Is6(), "families differ")
			if f.Hints == nil && (!f.LocalOnly || !b.Outside()) {
				require.Contains(t, tables.Selectable(f, b.Node), index)
			}
		}
		for _, node := range []string{"a", "b", "n1", "n2", "n3", "unknown"} {
			require.Subset(t, f.Backends, tables.Selectable(f, node))
			require.IsIncreasing(t, append([]int{-2, -1}, tables.Selectable(f, node)...))
			require.IsIncreasing(t, append([]int{-2, -1}, tables.SelectableInside(f, node)...))
		}
	}
	for i, b := range tables.Backends {
		require.Equal(t, !used[i], b.Draining, "backend %s", b.Name())
	}
}
