package services

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A field that equal forgets would be a change that is not reported.
func TestFrontendEqual(t *testing.T) {
	values := []any{netip.MustParseAddr("192.0.2.1"), []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []int{1}, &Hints{Nodes: map[string][]int{"n1": {0}}}}
	whole := Tables{Frontends: []Frontend{{}}}
	for i := range reflect.TypeFor[Frontend]().NumField() {
		var other Frontend
		field := reflect.ValueOf(&other).Elem().Field(i)
		switch field.Kind() {
		case reflect.String:
			field.SetString("x")
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Uint8, reflect.Uint16, reflect.Uint32:
			field.SetUint(1)
		case reflect.Int64:
			field.SetInt(1)
		default:
			at := slices.IndexFunc(values, func(v any) bool { return reflect.TypeOf(v) == field.Type() })
			require.GreaterOrEqual(t, at, 0, "no value of type %s", field.Type())
			field.Set(reflect.ValueOf(values[at]))
		}
		assert.False(t, whole.equal(&Tables{Frontends: []Frontend{other}}), reflect.TypeFor[Frontend]().Field(i).Name)
	}
	assert.True(t, whole.equal(&Tables{Frontends: []Frontend{{}}}))
}

// pod is an endpoint in a test of policies: where it is, and its conditions as r, s, t for those that hold.
type pod struct{ address, node, conditions string }

func (p pod) endpoint() discoveryv1.Endpoint {
	has := func(letter byte) *bool {
		holds := slices.Contains([]byte(p.conditions), letter)
		return &holds
	}
	return discoveryv1.Endpoint{
		Addresses: []string{p.address}, NodeName: &p.node,
		Conditions: discoveryv1.EndpointConditions{Ready: has('r'), Serving: has('s'), Terminating: has('t')},
	}
}

// policyTables are those of one service with a VIP, a NodePort and a ClusterIP, on nodes n1, n2 and n3.
func policyTables(t *testing.T, service corev1.ServiceSpec, pods []pod) *Tables {
	t.Helper()
	service.Type, service.ClusterIP = corev1.ServiceTypeLoadBalancer, "10.96.0.1"
	service.ExternalIPs = []string{"198.51.100.1"}
	service.Ports = []corev1.ServicePort{{Port: 80, NodePort: 30080}}
	port := int32(8000)
	slice := discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "a", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Port: &port}},
	}
	for _, p := range pods {
		slice.Endpoints = append(slice.Endpoints, p.endpoint())
	}
	tables, problems := Build(State{
		Services:       []corev1.Service{{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"}, Spec: service, Status: statusOf("203.0.113.1")}},
		EndpointSlices: []discoveryv1.EndpointSlice{slice},
		Nodes: []Node{
			{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
			{Name: "n2", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.2")}},
			{Name: "n3", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.3")}},
		},
	}, Options{ExternalIPs: everywhere})
	require.Empty(t, problems)
	require.Len(t, tables.Frontends, 6)
	return tables
}

// reach is what a frontend reaches from one node: last bytes of backends' addresses, or what becomes of requests.
func reach(tables *Tables, backends []int, refusal Refusal) any {
	if refusal != RefusalNone {
		if len(backends) > 0 {
			return "refused in spite of backends"
		}
		return refusal
	}
	var last []int
	for _, i := range backends {
		last = append(last, int(tables.Backends[i].Address.As4()[3]))
	}
	return last
}

// TestPolicies holds which endpoints are chosen against what kube-proxy's CategorizeEndpoints (pkg/proxy/topology.go) and its
// rules for clients inside and outside of the cluster come to.
func TestPolicies(t *testing.T) {
	local, internalLocal := corev1.ServiceExternalTrafficPolicyLocal, corev1.ServiceInternalTrafficPolicyLocal
	internal := corev1.ServiceSpec{InternalTrafficPolicy: &internalLocal}
	type per map[string]any // by node
	all := func(what any) per { return per{"n1": what, "n2": what, "n3": what} }
	for _, c := range []struct {
		name            string
		spec            corev1.ServiceSpec
		pods            []pod
		outside, inside per // of the VIP, the ExternalIP and the NodePorts
		clusterIP       per
		ready           [3]int // on n1, n2, n3
	}{
		{"cluster", corev1.ServiceSpec{}, []pod{{"10.0.0.1", "n1", "rs"}, {"10.0.0.2", "n2", "rs"}},
			all([]int{1, 2}), all([]int{1, 2}), all([]int{1, 2}), [3]int{1, 1, 0}},
		{"cluster, none", corev1.ServiceSpec{}, nil,
			all(RefusalReject), all(RefusalReject), all(RefusalReject), [3]int{}},
		{"cluster, one not ready", corev1.ServiceSpec{}, []pod{{"10.0.0.1", "n1", ""}, {"10.0.0.2", "n2", "rs"}},
			all([]int{2}), all([]int{2}), all([]int{2}), [3]int{0, 1, 0}},
		{"cluster, terminating beside ready", corev1.ServiceSpec{}, []pod{{"10.0.0.1", "n1", "st"}, {"10.0.0.2", "n2", "rs"}},
			all([]int{2}), all([]int{2}), all([]int{2}), [3]int{0, 1, 0}},
		{"cluster, all terminating", corev1.ServiceSpec{}, []pod{{"10.0.0.1", "n1", "st"}, {"10.0.0.2", "n2", "t"}, {"10.0.0.3", "n2", ""}},
			all([]int{1}), all([]int{1}), all([]int{1}), [3]int{}},
		{"cluster, none serves", corev1.ServiceSpec{}, []pod{{"10.0.0.1", "n1", "t"}, {"10.0.0.2", "n2", ""}},
			all(RefusalReject), all(RefusalReject), all(RefusalReject), [3]int{}},
		{"cluster, serving but not ready nor terminating", corev1.ServiceSpec{}, []pod{{"10.0.0.1", "n1", "s"}},
			all(RefusalReject), all(RefusalReject), all(RefusalReject), [3]int{}},
		{"ready while terminating", corev1.ServiceSpec{}, []pod{{"10.0.0.1", "n1", "rst"}, {"10.0.0.2", "n2", "rs"}},
			all([]int{1, 2}), all([]int{1, 2}), all([]int{1, 2}), [3]int{1, 1, 0}},
		{"publishes what is not ready", corev1.ServiceSpec{PublishNotReadyAddresses: true}, []pod{{"10.0.0.1", "n1", ""}, {"10.0.0.2", "n2", "t"}},
			all([]int{1, 2}), all([]int{1, 2}), all([]int{1, 2}), [3]int{1, 1, 0}},
		{"external local", corev1.ServiceSpec{ExternalTrafficPolicy: local},
			[]pod{{"10.0.0.1", "n1", "rs"}, {"10.0.0.2", "n2", "rs"}, {"10.0.0.3", "n2", "rs"}},
			per{"n1": []int{1}, "n2": []int{2, 3}, "n3": RefusalDrop}, all([]int{1, 2, 3}), all([]int{1, 2, 3}), [3]int{1, 2, 0}},
		{"external local, none", corev1.ServiceSpec{ExternalTrafficPolicy: local}, []pod{{"10.0.0.1", "n1", ""}},
			all(RefusalReject), all(RefusalReject), all(RefusalReject), [3]int{}},
		{"external local, one node's pods terminate", corev1.ServiceSpec{ExternalTrafficPolicy: local},
			[]pod{{"10.0.0.1", "n1", "rs"}, {"10.0.0.2", "n2", "st"}, {"10.0.0.3", "n1", "st"}},
			per{"n1": []int{1}, "n2": []int{2}, "n3": RefusalDrop}, all([]int{1}), all([]int{1}), [3]int{1, 0, 0}},
		{"external local, all terminate", corev1.ServiceSpec{ExternalTrafficPolicy: local},
			[]pod{{"10.0.0.1", "n1", "st"}, {"10.0.0.2", "n2", "st"}},
			per{"n1": []int{1}, "n2": []int{2}, "n3": RefusalDrop}, all([]int{1, 2}), all([]int{1, 2}), [3]int{}},
		{"internal local", internal, []pod{{"10.0.0.1", "n1", "rs"}, {"10.0.0.2", "n2", "st"}},
			all([]int{1}), all([]int{1}), per{"n1": []int{1}, "n2": []int{2}, "n3": RefusalDrop}, [3]int{1, 0, 0}},
		{"internal local, none", internal, []pod{{"10.0.0.1", "n1", "t"}},
			all(RefusalReject), all(RefusalReject), all(RefusalReject), [3]int{}},
		{"both local", corev1.ServiceSpec{ExternalTrafficPolicy: local, InternalTrafficPolicy: &internalLocal}, []pod{{"10.0.0.1", "n1", "rs"}},
			per{"n1": []int{1}, "n2": RefusalDrop, "n3": RefusalDrop}, all([]int{1}),
			per{"n1": []int{1}, "n2": RefusalDrop, "n3": RefusalDrop}, [3]int{1, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tables := policyTables(t, c.spec, c.pods)
			for i := range tables.Frontends {
				f := &tables.Frontends[i]
				outside, inside := c.outside, c.inside
				if f.Kind == KindClusterIP {
					outside, inside = c.clusterIP, c.clusterIP
				}
				for n, node := range []string{"n1", "n2", "n3"} {
					assert.Equal(t, outside[node], reach(tables, tables.Selectable(f, node), tables.Refusal(f, node)), "%s %s, outside, %s", f.Kind, f, node)
					assert.Equal(t, inside[node], reach(tables, tables.SelectableInside(f, node), tables.RefusalInside(f, node)), "%s %s, inside, %s", f.Kind, f, node)
					assert.Len(t, tables.Ready(f, node), c.ready[n], "%s %s, ready on %s", f.Kind, f, node)
				}
			}
		})
	}
}

// What an endpoint does not say is ready, serving and not terminating (discovery/v1, and kube-proxy's newEndpointSliceInfo).
func TestConditionsUnknown(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		in      discoveryv1.EndpointConditions
		publish bool
		want    conditions
	}{
		{discoveryv1.EndpointConditions{}, false, conditions{true, true, false}},
		{discoveryv1.EndpointConditions{Ready: &no}, false, conditions{false, true, false}},
		{discoveryv1.EndpointConditions{Ready: &no, Terminating: &yes}, false, conditions{false, true, true}},
		{discoveryv1.EndpointConditions{Ready: &no, Serving: &no, Terminating: &yes}, false, conditions{false, false, true}},
		{discoveryv1.EndpointConditions{Ready: &no, Serving: &no}, true, conditions{true, true, false}},
	} {
		assert.Equal(t, c.want, conditionsOf(&discoveryv1.Endpoint{Conditions: c.in}, c.publish))
	}
}

func TestSelectionAnnotation(t *testing.T) {
	service := vips("web", 1, 80)
	build := func(annotation string) (Selection, []Problem) {
		service.Annotations = map[string]string{SelectionAnnotation: annotation}
		tables, problems := Build(State{Services: []corev1.Service{*service}}, Options{})
		return tables.Frontends[0].Selection, problems
	}
	for _, want := range []Selection{SelectionConsistent, SelectionRandom} {
		got, problems := build(string(want))
		assert.Equal(t, want, got)
		assert.Empty(t, problems)
	}
	for _, wrong := range []string{"Random", "maglev", ""} {
		got, problems := build(wrong)
		assert.Equal(t, SelectionConsistent, got)
		require.Len(t, problems, 1)
		assert.EqualError(t, problems[0],
			`service a/web: metadata.annotations[dsrlab.dev/selection]: "`+wrong+`" is no selection; use consistent or random`)
	}
	_, err := ParseSelection("maglev")
	assert.EqualError(t, err, `unknown selection "maglev" (want consistent or random)`)
}
