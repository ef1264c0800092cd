package services

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// endpointState is a service with a VIP, a ClusterIP and one slice.
func endpointState(spec corev1.ServiceSpec, endpoints ...discoveryv1.Endpoint) State {
	spec.Type, spec.ClusterIP = corev1.ServiceTypeLoadBalancer, "10.96.5.5"
	spec.Ports = []corev1.ServicePort{{Port: 5432}}
	name, port := "", int32(5432)
	return State{
		Services: []corev1.Service{{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "db"}, Spec: spec, Status: statusOf("203.0.113.1")}},
		EndpointSlices: []discoveryv1.EndpointSlice{{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "d", Name: "db-1", Labels: map[string]string{discoveryv1.LabelServiceName: "db"}},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}}, Endpoints: endpoints,
		}},
		Nodes: claimNodes(), Reserved: claimsReserved(),
	}
}

func at(address string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}}
}

// TestOutside: an endpoint that names no node, and that no node has, is outside of the cluster, and every node can select it.
func TestOutside(t *testing.T) {
	gone, empty := "gone", ""
	onGone, onEmpty := at("198.51.100.7"), at("198.51.100.7")
	onGone.NodeName, onEmpty.NodeName = &gone, &empty
	for _, test := range []struct {
		name     string
		endpoint discoveryv1.Endpoint
		node     string
		problem  string
	}{
		{"a host elsewhere", at("198.51.100.7"), "", ""},
		{"a host in the nodes' network", at("192.168.1.250"), "", ""},
		{"the gateway", at("192.168.1.1"), "", ""},
		{"an empty name of a node", onEmpty, "", ""},
		{"a node", at("192.168.1.12"), "n2", ""},
		{"a pod", at("10.244.1.5"), "n1", ""},
		{"an unknown node", onGone, "", `endpointslice d/db-1: endpoints[0].nodeName: "gone" is no known node, and no node has 198.51.100.7 ` +
			"or its pod CIDR; name a node of the cluster, or none where the address is outside of it"},
		{"a ClusterIP", at("10.96.0.1"), "", "endpointslice d/db-1: endpoints[0].addresses[0]: 10.96.0.1 is in serviceCIDRs, and no node has it; " +
			"use the address of a pod, of a node, or of a host outside of the cluster"},
		{"a broadcast address", at("192.168.1.255"), "", "endpointslice d/db-1: endpoints[0].addresses[0]: 192.168.1.255 is the broadcast " +
			"address of 192.168.1.0/24, and no node has it; use the address of a pod, of a node, or of a host outside of the cluster"},
		{"a metadata service", at("169.254.169.254"), "", `endpointslice d/db-1: endpoints[0].addresses[0]: "169.254.169.254" is not the ` +
			"address of a pod; use a unicast address of type IPv4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tables, problems := Build(endpointState(corev1.ServiceSpec{}, test.endpoint), Options{Mode: ModeDSR})
			if test.problem != "" {
				assert.Equal(t, []string{test.problem}, texts(problems))
				assert.Empty(t, tables.Backends)
				return
			}
			require.Empty(t, problems)
			require.Len(t, tables.Backends, 1)
			assert.Equal(t, test.node, tables.Backends[0].Node)
			assert.Equal(t, test.node == "", tables.Backends[0].Outside())
			assert.Equal(t, test.node != "", tables.Backends[0].NodeAddress.IsValid())
			for i := range tables.Frontends {
				assert.Equal(t, []int{0}, tables.Selectable(&tables.Frontends[i], "n1"))
				assert.Equal(t, []int{0}, tables.SelectableInside(&tables.Frontends[i], "n2"))
			}
		})
	}
}

// TestOutsideIsNeverLocal: policy Local lets no node send to a backend outside; clients inside reach it, as at kube-proxy.
func TestOutsideIsNeverLocal(t *testing.T) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	tables, problems := Build(endpointState(corev1.ServiceSpec{
		ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, InternalTrafficPolicy: &local,
	}, at("198.51.100.7"), at("10.244.1.5")), Options{})
	require.Empty(t, problems)
	require.Len(t, tables.Backends, 2)
	vip, clusterIP := &tables.Frontends[1], &tables.Frontends[0]
	require.Equal(t, KindLoadBalancer, vip.Kind)
	assert.Equal(t, []int{0}, tables.Selectable(vip, "n1"), "the pod")
	assert.Empty(t, tables.Selectable(vip, "n2"))
	assert.Equal(t, RefusalDrop, tables.Refusal(vip, "n2"))
	assert.Equal(t, []int{0, 1}, tables.SelectableInside(vip, "n2"))
	assert.Empty(t, tables.SelectableInside(clusterIP, "n2"))
	assert.Empty(t, tables.Ready(vip, "n2"))
}
