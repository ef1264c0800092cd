package ui

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs/observe"
)

// told takes server-sent events apart: the names of all, and the flows with their nodes, which are numbers here.
func told(t *testing.T, text []byte) (names []string, m flowsMessage, nodes []string) {
	t.Helper()
	for _, event := range strings.Split(strings.TrimSuffix(string(text), "\n\n"), "\n\n") {
		head, data, ok := strings.Cut(event, "data: ")
		require.True(t, ok || event == "", event)
		name := strings.TrimSuffix(strings.TrimPrefix(head, "event: "), "\n")
		names = append(names, name)
		if name != "flows" {
			continue
		}
		require.NoError(t, json.Unmarshal([]byte(data), &m))
		for _, raw := range m.Flows {
			var flow observe.Flow
			require.NoError(t, json.Unmarshal(raw, &flow))
			nodes = append(nodes, flow.Node)
		}
	}
	return names, m, nodes
}

// numbered are flows of the nodes first to last.
func numbered(first, last int) (flows []observe.Flow) {
	for i := first; i <= last; i++ {
		flows = append(flows, observe.Flow{Node: fmt.Sprint(i)})
	}
	return flows
}

// TestFeed checks that a viewer gets each flow once, and tables only when they change, whenever it comes and however slow it is.
func TestFeed(t *testing.T) {
	var f feed
	var early, late position
	next := func(p *position) ([]string, flowsMessage, []string) {
		t.Helper()
		text, err := f.next(p)
		require.NoError(t, err)
		return told(t, text)
	}
	require.NoError(t, f.set(State{}, Tables{Node: "lb"}))
	require.NoError(t, f.add(numbered(1, 2), 5))
	names, m, nodes := next(&early)
	assert.Equal(t, []string{"", "tables", "flows"}, names)
	assert.Equal(t, []string{"1", "2"}, nodes)
	assert.True(t, m.Begin)
	assert.EqualValues(t, 7, m.Total)

	require.NoError(t, f.set(State{}, Tables{Node: "lb"}))
	names, _, _ = next(&early)
	assert.Equal(t, []string{""}, names, "the tables are the same, and there is no flow")

	require.NoError(t, f.set(State{}, Tables{Node: "lb", Total: 1}))
	require.NoError(t, f.add(numbered(3, 3), 0))
	require.NoError(t, f.add(numbered(4, 4), 0))
	names, m, nodes = next(&early)
	assert.Equal(t, []string{"", "tables", "flows"}, names)
	assert.Equal(t, []string{"3", "4"}, nodes, "of two readings")
	assert.False(t, m.Begin)

	_, m, nodes = next(&late)
	assert.Equal(t, []string{"1", "2", "3", "4"}, nodes)
	assert.True(t, m.Begin)

	require.NoError(t, f.add(numbered(5, 4+2*keptFlows), 0))
	_, m, nodes = next(&early)
	assert.Len(t, nodes, keptFlows, "no more than are kept")
	assert.Equal(t, fmt.Sprint(4+2*keptFlows), nodes[keptFlows-1], "the newest")
	assert.EqualValues(t, 5+4+2*keptFlows, m.Total)
	require.NoError(t, f.add(nil, 3))
	names, m, nodes = next(&early)
	assert.Equal(t, []string{"flows"}, names)
	assert.Empty(t, nodes)
	assert.EqualValues(t, 8+4+2*keptFlows, m.Total, "what was left out is counted")

	var nobody position
	f = feed{}
	names, m, _ = next(&nobody)
	assert.Equal(t, []string{"flows"}, names)
	assert.True(t, m.Begin, "a page that had another server's flows drops them")
}

func TestTables(t *testing.T) {
	plan := planOf(t, "talk")
	pod := plan.Pods[0]
	at := func(i int) netip.AddrPort { return netip.AddrPortFrom(pod.Addresses[0], uint16(8000+i)) }
	frontend := dataplane.Listed{Address: netip.MustParseAddrPort("185.150.8.128:80"), Protocol: "TCP", Service: "default/web:http/TCP", Number: 7, Kind: "LoadBalancer", Mode: "dsr"}
	for i := range maxBackends + 2 {
		frontend.Backends = append(frontend.Backends, dataplane.ListedBackend{Address: at(i), State: "active", Share: 0.1})
	}
	frontend.Backends[1] = dataplane.ListedBackend{Address: netip.MustParseAddrPort("10.99.0.1:80"), Node: plan.Node("worker").Addrs()[0], State: "draining"}
	many := []dataplane.Listed{frontend}
	for range maxFrontends {
		many = append(many, dataplane.Listed{Number: 8})
	}
	got := tablesOf("lb", many, []dataplane.ServiceCounter{{Number: 7, Flows: 42}}, plan)
	assert.Equal(t, maxFrontends+1, got.Total)
	require.Len(t, got.Frontends, maxFrontends)
	first := got.Frontends[0]
	assert.EqualValues(t, 42, first.Connections)
	assert.Equal(t, 2, first.More)
	require.Len(t, first.Backends, maxBackends)
	assert.Equal(t, Backend{Address: at(0), Pod: pod.Name, Node: pod.Node, State: "active", Share: 0.1}, first.Backends[0])
	assert.Equal(t, Backend{Address: netip.MustParseAddrPort("10.99.0.1:80"), Node: "worker", State: "draining"}, first.Backends[1], "no pod of the plan")
	assert.Zero(t, got.Frontends[1].Connections, "what nothing has counted")
	assert.Empty(t, got.Frontends[1].Backends)

	text, err := json.Marshal(tablesOf("lb", nil, nil, plan))
	require.NoError(t, err)
	assert.JSONEq(t, `{"node":"lb","total":0,"frontends":[]}`, string(text), "lists, not null")
}
