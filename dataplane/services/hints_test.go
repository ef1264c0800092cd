package services

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// hinted is an endpoint with a condition, and hints for some nodes and zones.
type hinted struct {
	address      string
	ready        bool
	nodes, zones []string
}

func (h hinted) endpoint() discoveryv1.Endpoint {
	serving, terminating := true, !h.ready
	e := discoveryv1.Endpoint{
		Addresses: []string{h.address}, Hints: &discoveryv1.EndpointHints{},
		Conditions: discoveryv1.EndpointConditions{Ready: &h.ready, Serving: &serving, Terminating: &terminating},
	}
	for _, name := range h.nodes {
		e.Hints.ForNodes = append(e.Hints.ForNodes, discoveryv1.ForNode{Name: name})
	}
	for _, name := range h.zones {
		e.Hints.ForZones = append(e.Hints.ForZones, discoveryv1.ForZone{Name: name})
	}
	return e
}

// TestHints holds which endpoints a node chooses for its own clients against kube-proxy's topologyModeFromHints (pkg/proxy/topology.go).
func TestHints(t *testing.T) {
	const a, b = "10.244.1.5", "10.244.1.6"
	type per map[string][]int
	all := []int{0, 1}
	for _, test := range []struct {
		name      string
		endpoints []hinted
		want      per
	}{
		{"none", []hinted{{a, true, nil, nil}, {b, true, nil, nil}}, per{"n1": all, "n2": all}},
		{"for nodes", []hinted{{a, true, []string{"n1"}, nil}, {b, true, []string{"n2"}, nil}}, per{"n1": {0}, "n2": {1}}},
		{"not for this node", []hinted{{a, true, []string{"n1"}, nil}, {b, true, []string{"n3"}, nil}}, per{"n1": {0}, "n2": all}},
		{"one lacks a hint", []hinted{{a, true, []string{"n1"}, nil}, {b, true, nil, nil}}, per{"n1": all, "n2": all}},
		{"one that is not ready lacks a hint", []hinted{{a, true, []string{"n1"}, nil}, {b, false, nil, nil}}, per{"n1": {0}, "n2": {0}}},
		{"for zones", []hinted{{a, true, nil, []string{"east"}}, {b, true, nil, []string{"west"}}}, per{"n1": {0}, "n2": {1}, "n3": all}},
		{"a zone without endpoints", []hinted{{a, true, nil, []string{"east"}}, {b, true, nil, []string{"east"}}}, per{"n1": all, "n2": all}},
		{"several zones", []hinted{{a, true, nil, []string{"east", "west"}}, {b, true, nil, []string{"west"}}}, per{"n1": {0}, "n2": all}},
		{"nodes before zones", []hinted{{a, true, []string{"n2"}, []string{"east"}}, {b, true, []string{"n3"}, []string{"west"}}},
			per{"n1": {0}, "n2": {0}, "n3": {1}}},
		{"zones where nodes lack", []hinted{{a, true, []string{"n2"}, []string{"east"}}, {b, true, nil, []string{"west"}}}, per{"n1": {0}, "n2": {1}}},
		{"the last resort", []hinted{{a, false, []string{"n1"}, nil}, {b, false, []string{"n2"}, nil}}, per{"n1": all, "n2": all}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var endpoints []discoveryv1.Endpoint
			for _, h := range test.endpoints {
				endpoints = append(endpoints, h.endpoint())
			}
			state := endpointState(corev1.ServiceSpec{}, endpoints...)
			state.Nodes[0].Zone, state.Nodes[1].Zone = "east", "west"
			state.Nodes = append(state.Nodes, Node{Name: "n3", Addresses: addresses("192.168.1.13")})
			tables, problems := Build(state, Options{})
			require.Empty(t, problems)
			for i := range tables.Frontends {
				for node, want := range test.want {
					f := &tables.Frontends[i]
					assert.Equal(t, f.Backends, tables.Selectable(f, node), "%s from outside: LB nodes agree", f)
					assert.Equal(t, want, tables.SelectableInside(&tables.Frontends[i], node), "%s in %s", &tables.Frontends[i], node)
				}
			}
		})
	}
}

// TestHintsAndPolicyLocal: the policy comes before hints; clients inside, whom it doesn't concern, heed them.
func TestHintsAndPolicyLocal(t *testing.T) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	tables, problems := Build(endpointState(corev1.ServiceSpec{
		ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, InternalTrafficPolicy: &local,
	}, hinted{"10.244.1.5", true, []string{"n2"}, nil}.endpoint(), hinted{"10.244.1.6", true, []string{"n3"}, nil}.endpoint()), Options{})
	require.Empty(t, problems)
	clusterIP, vip := &tables.Frontends[0], &tables.Frontends[1]
	assert.Nil(t, clusterIP.Hints)
	assert.Equal(t, []int{0, 1}, tables.SelectableInside(clusterIP, "n1"), "both are on n1")
	assert.Equal(t, []int{0, 1}, tables.Selectable(vip, "n1"))
	assert.Empty(t, tables.Selectable(vip, "n2"))
	assert.Equal(t, []int{0}, tables.SelectableInside(vip, "n2"))
}

// TestHintsChange: a node that comes to a zone is reported for the services that have hints for zones, and for no others.
func TestHintsChange(t *testing.T) {
	state := endpointState(corev1.ServiceSpec{}, hinted{"10.244.1.5", true, nil, []string{"east"}}.endpoint())
	w := newWorld(t, Options{})
	w.setNodes(state.Nodes)
	w.apply(&state.Services[0])
	w.applySlice(&state.EndpointSlices[0])
	w.apply(vips("other", 1, 80))
	nodes := claimNodes()
	nodes[0].Zone = "east"
	assert.Equal(t, []string{"d/db: 5432 5432"}, summary(w.setNodes(nodes)))
	assert.Equal(t, map[string]string{"n1": "east"}, w.reported["d/db"].Zones)
	w.check()
}

// TestAffinitySelection: where no other node has to agree, a client whose affinity has ended gets any backend.
func TestAffinitySelection(t *testing.T) {
	for _, test := range []struct {
		name                     string
		affinity                 corev1.ServiceAffinity
		annotation               string
		clusterIP, nodePort, vip Selection
	}{
		{"none", corev1.ServiceAffinityNone, "", SelectionConsistent, SelectionConsistent, SelectionConsistent},
		{"by client", corev1.ServiceAffinityClientIP, "", SelectionRandom, SelectionRandom, SelectionConsistent},
		{"by client, consistent asked for", corev1.ServiceAffinityClientIP, "consistent", SelectionConsistent, SelectionConsistent, SelectionConsistent},
		{"by client, random asked for", corev1.ServiceAffinityClientIP, "random", SelectionRandom, SelectionRandom, SelectionRandom},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := endpointState(corev1.ServiceSpec{SessionAffinity: test.affinity})
			if test.annotation != "" {
				state.Services[0].Annotations = map[string]string{SelectionAnnotation: test.annotation}
			}
			state.Services[0].Spec.Ports[0].NodePort = 30080
			tables, problems := Build(state, Options{})
			require.Empty(t, problems)
			selections := map[Kind]Selection{}
			for _, f := range tables.Frontends {
				selections[f.Kind] = f.Selection
			}
			assert.Equal(t, map[Kind]Selection{KindClusterIP: test.clusterIP, KindNodePort: test.nodePort, KindLoadBalancer: test.vip}, selections)
		})
	}
}
