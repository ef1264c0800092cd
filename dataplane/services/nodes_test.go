package services

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func addresses(all ...string) []netip.Addr {
	var parsed []netip.Addr
	for _, text := range all {
		parsed = append(parsed, netip.MustParseAddr(text))
	}
	return parsed
}

// dualStackState has two nodes of both families, the second one's first address is of IPv6, and a NodePort service of both
// families with a pod of both on each node; slices name no node.
func dualStackState() State {
	service := corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, ClusterIPs: []string{"10.96.0.1", "fd00:96::1"},
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
			Ports:      []corev1.ServicePort{{Port: 80, NodePort: 30080}},
		},
	}
	port := int32(8000)
	slice := func(name string, family discoveryv1.AddressType, pods ...string) discoveryv1.EndpointSlice {
		s := discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
			AddressType: family,
			Ports:       []discoveryv1.EndpointPort{{Port: &port}},
		}
		for _, address := range pods {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}})
		}
		return s
	}
	return State{
		Services: []corev1.Service{service},
		EndpointSlices: []discoveryv1.EndpointSlice{
			slice("web-4", discoveryv1.AddressTypeIPv4, "10.0.1.9", "10.0.2.9"),
			slice("web-6", discoveryv1.AddressTypeIPv6, "fd00:1::9", "fd00:2::9"),
		},
		Nodes: []Node{
			{Name: "n1", Addresses: addresses("192.0.2.1", "2001:db8::1", "192.0.2.1", "192.0.2.101"),
				PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("fd00:1::/64")}},
			{Name: "n2", Addresses: addresses("2001:db8::2", "::ffff:192.0.2.2"),
				PodCIDRs: []netip.Prefix{netip.MustParsePrefix("fd00:2::/64"), netip.MustParsePrefix("10.0.2.0/24")}},
		},
	}
}

func TestDualStackNodes(t *testing.T) {
	tables, problems := Build(dualStackState(), Options{})
	require.Empty(t, problems)
	var nodePorts []string
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		if f.Kind == KindNodePort {
			nodePorts = append(nodePorts, f.Node+" "+f.Address.String())
		}
		require.Len(t, f.Backends, 2)
		for _, b := range f.Backends {
			assert.Equal(t, f.Address.Is6(), tables.Backends[b].Address.Is6())
		}
	}
	assert.Equal(t, []string{"n1 192.0.2.1", "n2 192.0.2.2", "n1 192.0.2.101", "n1 2001:db8::1", "n2 2001:db8::2"}, nodePorts)
	require.Len(t, tables.Backends, 4)
	for _, b := range tables.Backends {
		want := map[string]string{"n1": "192.0.2.1", "n2": "2001:db8::2"}[b.Node]
		assert.Equal(t, want, b.NodeAddress.String(), "%s: tunnels end at the node's first address", b.Name())
	}
}

// A service of one family is at the nodes' addresses of this family.
func TestSingleStackServiceOnDualStackNodes(t *testing.T) {
	state := dualStackState()
	state.Services[0].Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol}
	state.Services[0].Spec.ClusterIPs = []string{"fd00:96::1"}
	tables, problems := Build(state, Options{})
	require.Empty(t, problems)
	var all []string
	for i := range tables.Frontends {
		all = append(all, tables.Frontends[i].String())
	}
	assert.Equal(t, []string{"[2001:db8::1]:30080/TCP", "[2001:db8::2]:30080/TCP", "[fd00:96::1]:80/TCP"}, all)
}

func TestNodeProblems(t *testing.T) {
	_, problems := Build(State{Nodes: []Node{
		{Name: "v4", Addresses: addresses("192.0.2.1", "127.0.0.1", "fe80::1")},
		{Name: "none"},
		{Name: "bad", Addresses: []netip.Addr{netip.MustParseAddr("224.0.0.1")}},
		{Name: "v4", Addresses: addresses("2001:db8::1")},
	}}, Options{})
	var all []string
	for _, p := range problems {
		all = append(all, p.Error())
	}
	assert.Equal(t, []string{
		"node v4: addresses[1]: 127.0.0.1 is not the address of a node; use a unicast address",
		"node v4: addresses[2]: fe80::1 is not the address of a node; use a unicast address",
		"node none: addresses: there is none; give the node a unicast address",
		"node bad: addresses[0]: 224.0.0.1 is not the address of a node; use a unicast address",
		"node v4: name: there are two nodes of this name; give each node a name of its own",
	}, all)
}
