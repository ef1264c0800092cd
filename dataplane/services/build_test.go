package services

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"
)

// everywhere lets services have any externalIPs.
var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// statusOf is what a controller writes that gives a service some VIPs.
func statusOf(vips ...string) corev1.ServiceStatus {
	var status corev1.ServiceStatus
	for _, vip := range vips {
		status.LoadBalancer.Ingress = append(status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: vip})
	}
	return status
}

var updateGolden = flag.Bool("update", false, "write the golden files")

// readState reads objects as kubectl prints them.
func readState(t testing.TB, data []byte) State {
	t.Helper()
	var state State
	for document := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var head struct{ Kind string }
		require.NoError(t, yaml.Unmarshal(document, &head))
		switch head.Kind {
		case "Service":
			var service corev1.Service
			require.NoError(t, yaml.UnmarshalStrict(document, &service))
			state.Services = append(state.Services, service)
		case "EndpointSlice":
			var slice discoveryv1.EndpointSlice
			require.NoError(t, yaml.UnmarshalStrict(document, &slice))
			state.EndpointSlices = append(state.EndpointSlices, slice)
		case "Node":
			var node corev1.Node
			require.NoError(t, yaml.UnmarshalStrict(document, &node))
			state.Nodes = append(state.Nodes, nodeFrom(t, &node))
		default:
			require.Failf(t, "unknown kind", "%q", head.Kind)
		}
	}
	return state
}

func nodeFrom(t testing.TB, in *corev1.Node) Node {
	t.Helper()
	node := Node{Name: in.Name}
	for _, address := range in.Status.Addresses {
		node.Addresses = append(node.Addresses, netip.MustParseAddr(address.Address))
	}
	node.Zone = in.Labels[corev1.LabelTopologyZone]
	for _, cidr := range append([]string{in.Spec.PodCIDR}, in.Spec.PodCIDRs...) {
		if cidr != "" {
			node.PodCIDRs = append(node.PodCIDRs, netip.MustParsePrefix(cidr))
		}
	}
	return node
}

// golden is what a golden file holds.
type golden struct {
	Tables   *Tables  `json:"tables"`
	Problems []string `json:"problems,omitempty"`
}

func build(state State, options Options) golden {
	tables, problems := Build(state, options)
	g := golden{Tables: tables}
	for _, p := range problems {
		g.Problems = append(g.Problems, p.Error())
	}
	return g
}

func TestBuild(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, ".golden.yaml") {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			state := readState(t, data)
			got, err := yaml.Marshal(build(state, Options{Mode: ModeDSR, ExternalIPs: everywhere}))
			require.NoError(t, err)
			wantFile := strings.TrimSuffix(file, ".yaml") + ".golden.yaml"
			if *updateGolden {
				require.NoError(t, os.WriteFile(wantFile, got, 0o644))
			}
			want, err := os.ReadFile(wantFile)
			require.NoError(t, err)
			assert.Equal(t, string(want), string(got))
			unchanged := readState(t, data)
			assert.Equal(t, unchanged, state, "Build changes its arguments")
		})
	}
}

// What a controller or an informer returns comes in any order; nodes must agree all the same.
func TestBuildOrderDoesNotMatter(t *testing.T) {
	for _, name := range []string{"talk", "local", "terminating", "dualstack"} {
		data, err := os.ReadFile("testdata/" + name + ".yaml")
		require.NoError(t, err)
		state := readState(t, data)
		want := build(state, Options{})
		slices.Reverse(state.Services)
		slices.Reverse(state.EndpointSlices)
		slices.Reverse(state.Nodes)
		for i := range state.EndpointSlices {
			slices.Reverse(state.EndpointSlices[i].Endpoints)
			slices.Reverse(state.EndpointSlices[i].Ports)
		}
		assert.Equal(t, want, build(state, Options{}), name)
	}
}

func TestBuildOptions(t *testing.T) {
	tables, problems := Build(State{}, Options{})
	assert.Empty(t, problems)
	assert.Equal(t, &Tables{Frontends: []Frontend{}, Backends: []Backend{}}, tables)

	_, problems = Build(State{}, Options{Mode: "consistent"})
	require.Len(t, problems, 1)
	assert.EqualError(t, problems[0], `options: mode: "consistent" is no forwarding mode; use snat, dsr or hybrid`)
}

// The older of two services keeps an address, whatever their names.
func TestBuildOlderServiceFirst(t *testing.T) {
	data, err := os.ReadFile("testdata/terminating.yaml")
	require.NoError(t, err)
	state := readState(t, data)
	for i := range state.Services {
		state.Services[i].Status = statusOf("203.0.113.1")
		state.Services[i].CreationTimestamp.Time = state.Services[i].CreationTimestamp.AddDate(2020-i, 0, 0)
	}
	tables, problems := Build(state, Options{})
	require.Len(t, tables.Frontends, 1)
	assert.Equal(t, state.Services[2].Namespace+"/"+state.Services[2].Name, tables.Frontends[0].Service)
	require.Len(t, problems, 2)
	assert.EqualError(t, problems[0], "service default/peers: spec.ports[0]: service default/empty has 203.0.113.1:80/TCP; "+
		"use an address, port and protocol of its own")
}

func TestSelectable(t *testing.T) {
	data, err := os.ReadFile("testdata/local.yaml")
	require.NoError(t, err)
	tables, _ := Build(readState(t, data), Options{})
	var vip *Frontend
	for i := range tables.Frontends {
		if tables.Frontends[i].Kind == KindLoadBalancer {
			vip = &tables.Frontends[i]
		}
	}
	require.NotNil(t, vip)
	onNode := func(node string) []string {
		var all []string
		for _, i := range tables.Selectable(vip, node) {
			all = append(all, tables.Backends[i].Name())
		}
		return all
	}
	assert.Equal(t, []string{"10.0.1.10:8000/TCP"}, onNode("a"), "a ready one is there")
	assert.Equal(t, []string{"10.0.2.10:8000/TCP"}, onNode("b"), "the last resort")
	assert.Empty(t, onNode("c"))
}

func TestModeFor(t *testing.T) {
	assert.Equal(t, ModeDSR, ModeHybrid.For(TCP))
	assert.Equal(t, ModeSNAT, ModeHybrid.For(UDP))
	assert.Equal(t, ModeDSR, ModeDSR.For(UDP))
	assert.Equal(t, ModeSNAT, ModeSNAT.For(TCP))
}
