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

// claimNodes are two nodes, one of which has further addresses.
func claimNodes() []Node {
	return []Node{
		{Name: "n1", Addresses: addresses("192.168.1.11", "2001:db8::11"), Others: addresses("203.0.113.11"),
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}},
		{Name: "n2", Addresses: addresses("192.168.1.12")},
	}
}

func claimsReserved() []Reserved {
	return []Reserved{
		{Prefix: netip.MustParsePrefix("10.96.0.0/16"), What: "in serviceCIDRs"},
		{Prefix: netip.MustParsePrefix("192.168.1.1/32"), What: "the address of the gateway", Host: true},
		{Prefix: netip.MustParsePrefix("192.168.1.255/32"), What: "the broadcast address of 192.168.1.0/24"},
	}
}

// frontendsOf are ADDRESS:PORT/PROTOCOL of all but NodePorts.
func frontendsOf(tables *Tables) []string {
	all := []string{}
	for i := range tables.Frontends {
		if tables.Frontends[i].Kind != KindNodePort {
			all = append(all, tables.Frontends[i].String())
		}
	}
	return all
}

func texts(problems []Problem) []string {
	var all []string
	for _, p := range problems {
		all = append(all, p.Error())
	}
	return all
}

// TestClaims: which addresses a service may have, by the field that asks for them.
func TestClaims(t *testing.T) {
	const status, external = "service d/s: status.loadBalancer.ingress[0].ip: ", "service d/s: spec.externalIPs[0]: "
	const another = "; use an address that no host has"
	asked := func(ip string) *corev1.Service {
		return &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, LoadBalancerIP: ip}}
	}
	vip := func(ip string) *corev1.Service {
		return &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}, Status: statusOf(ip)}
	}
	externalIP := func(ip string) *corev1.Service {
		return &corev1.Service{Spec: corev1.ServiceSpec{ExternalIPs: []string{ip}}}
	}
	clusterIP := func(ip string) *corev1.Service { return &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: ip}} }
	for _, test := range []struct {
		name    string
		service *corev1.Service
		allowed []netip.Prefix
		want    string // the frontend
		problem string
	}{
		{"a VIP that is only asked for", asked("192.168.1.202"), nil, "", ""},
		{"a node's address that is only asked for", asked("192.168.1.11"), nil, "", ""},
		{"a VIP", vip("203.0.113.1"), nil, "203.0.113.1:80/TCP", ""},
		{"a VIP in the nodes' network", vip("192.168.1.202"), nil, "192.168.1.202:80/TCP", ""},
		{"a VIP that is a node's address", vip("192.168.1.12"), everywhere, "", status + "192.168.1.12 is an address of node n2" + another},
		{"mapped into IPv6", vip("::ffff:192.168.1.12"), nil, "", status + "192.168.1.12 is an address of node n2" + another},
		{"a VIP that is a node's other address", vip("203.0.113.11"), nil, "", status + "203.0.113.11 is an address of node n1" + another},
		{"the gateway's", vip("192.168.1.1"), nil, "", status + "192.168.1.1 is the address of the gateway" + another},
		{"a broadcast address", vip("192.168.1.255"), nil, "", status + "192.168.1.255 is the broadcast address of 192.168.1.0/24" + another},
		{"a VIP that is a ClusterIP", vip("10.96.0.1"), nil, "", status + "10.96.0.1 is in serviceCIDRs" + another},
		{"a VIP that is a pod's", vip("10.244.1.5"), nil, "", status + "10.244.1.5 is in the pod CIDR 10.244.1.0/24 of node n1" + another},
		{"loopback", vip("127.0.0.1"), nil, "", status + `"127.0.0.1" is not the address of a service; use a unicast address`},
		{"mapped loopback", vip("::ffff:127.0.0.1"), nil, "", status + `"::ffff:127.0.0.1" is not the address of a service; use a unicast address`},
		{"multicast", vip("224.0.0.5"), nil, "", status + `"224.0.0.5" is not the address of a service; use a unicast address`},
		{"unspecified", vip("0.0.0.0"), nil, "", status + `"0.0.0.0" is not the address of a service; use a unicast address`},
		{"broadcast", vip("255.255.255.255"), nil, "", status + `"255.255.255.255" is not the address of a service; use a unicast address`},
		{"this network", vip("0.1.2.3"), nil, "", status + `"0.1.2.3" is not the address of a service; use a unicast address`},

		{"an externalIP by default", externalIP("198.51.100.7"), nil, "",
			external + "198.51.100.7 is not allowed; let the operator add it to loadBalancer.externalIPs of dsrd's configuration"},
		{"an externalIP beside what is allowed", externalIP("198.51.100.7"), []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, "",
			external + "198.51.100.7 is not allowed; let the operator add it to loadBalancer.externalIPs of dsrd's configuration"},
		{"an externalIP that is allowed", externalIP("198.51.100.7"), everywhere, "198.51.100.7:80/TCP", ""},
		{"an externalIP that is a node's", externalIP("192.168.1.12"), everywhere, "192.168.1.12:80/TCP", ""},
		{"an externalIP that is the gateway's", externalIP("192.168.1.1"), everywhere, "", external + "192.168.1.1 is the address of the gateway" + another},
		{"an externalIP that is a ClusterIP", externalIP("10.96.0.1"), everywhere, "", external + "10.96.0.1 is in serviceCIDRs" + another},

		{"a ClusterIP", clusterIP("10.96.0.1"), nil, "10.96.0.1:80/TCP", ""},
		{"a ClusterIP that is a node's address", clusterIP("192.168.1.12"), nil, "",
			"service d/s: spec.clusterIPs[0]: 192.168.1.12 is an address of node n2; use an address of the cluster's range for services"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.service.Namespace, test.service.Name = "d", "s"
			test.service.Spec.Ports = []corev1.ServicePort{{Port: 80}}
			tables, problems := Build(State{Services: []corev1.Service{*test.service}, Nodes: claimNodes(), Reserved: claimsReserved()},
				Options{ExternalIPs: test.allowed})
			if test.want == "" {
				assert.Empty(t, frontendsOf(tables))
			} else {
				assert.Equal(t, []string{test.want}, frontendsOf(tables))
			}
			if test.problem == "" {
				assert.Empty(t, problems)
			} else {
				assert.Equal(t, []string{test.problem}, texts(problems))
			}
		})
	}
}

// TestClaimsChange: a VIP is given up when its address becomes a node's or a gateway's, and comes back when it is free again.
func TestClaimsChange(t *testing.T) {
	w := newWorld(t, Options{})
	w.setNodes(claimNodes())
	assert.Equal(t, []string{"a/s: 80"}, summary(w.apply(vips("s", 1, 80))))
	gateway := []Reserved{{Prefix: netip.MustParsePrefix("203.0.113.1/32"), What: "the address of the gateway", Host: true}}
	assert.Equal(t, []string{"a/s:"}, summary(w.setReserved(gateway)))
	assert.Empty(t, w.setReserved(gateway), "the same again")
	assert.Equal(t, []string{"a/s: 80"}, summary(w.setReserved(nil)))
	assert.Equal(t, []string{"a/s:"}, summary(w.setNodes([]Node{{Name: "n3", Addresses: addresses("203.0.113.1")}})))
	w.check()
}

// TestSourceRanges: they hold at every address that clients outside of the cluster can reach.
func TestSourceRanges(t *testing.T) {
	service := corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.9.9", ExternalIPs: []string{"203.0.113.2"},
			LoadBalancerSourceRanges: []string{"198.51.100.0/24"}, Ports: []corev1.ServicePort{{Port: 80, NodePort: 30080}},
		},
		Status: statusOf("203.0.113.1"),
	}
	tables, problems := Build(State{Services: []corev1.Service{service}, Nodes: claimNodes()}, Options{ExternalIPs: everywhere})
	require.Empty(t, problems)
	ranges := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	held := map[string][]netip.Prefix{}
	for i := range tables.Frontends {
		held[tables.Frontends[i].String()] = tables.Frontends[i].SourceRanges
	}
	assert.Equal(t, map[string][]netip.Prefix{
		"203.0.113.1:80/TCP": ranges, "203.0.113.2:80/TCP": ranges, "192.168.1.11:30080/TCP": ranges, "192.168.1.12:30080/TCP": ranges,
		"10.96.9.9:80/TCP": nil,
	}, held)
}

// TestServedElsewhere: objects that are labelled so are left alone from the moment that they are.
func TestServedElsewhere(t *testing.T) {
	for _, label := range []string{corev1.IsHeadlessService, "service.kubernetes.io/service-proxy-name"} {
		for _, value := range []string{"", "other"} {
			t.Run(label+"="+value, func(t *testing.T) {
				w := newWorld(t, Options{})
				w.setNodes(claimNodes())
				name, port := "80", int32(8000)
				slice := discoveryv1.EndpointSlice{
					ObjectMeta:  metav1.ObjectMeta{Namespace: "a", Name: "x", Labels: map[string]string{discoveryv1.LabelServiceName: "s"}},
					AddressType: discoveryv1.AddressTypeIPv4,
					Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
					Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.1.5"}}},
				}
				labelled := slice
				labelled.Labels = map[string]string{discoveryv1.LabelServiceName: "s", label: value}
				elsewhere := vips("s", 1, 80)
				elsewhere.Labels = map[string]string{label: value}
				backends := func() int { return len(w.reported["a/s"].Backends) }

				assert.Empty(t, w.apply(elsewhere))
				assert.Equal(t, []string{"a/s: 80"}, summary(w.apply(vips("s", 1, 80))))
				assert.Empty(t, w.applySlice(&labelled))
				assert.Zero(t, backends())
				assert.Len(t, w.applySlice(&slice), 1)
				assert.Equal(t, 1, backends())
				assert.Len(t, w.applySlice(&labelled), 1)
				assert.Zero(t, backends())
				assert.Empty(t, w.removeSlice("a", "x"))
				assert.Equal(t, []string{"a/s:"}, summary(w.apply(elsewhere)))
				assert.Empty(t, w.tracker.Problems())
				w.check()
			})
		}
	}
}
