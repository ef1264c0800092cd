package testbed

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies"
)

// TestCheckFilter: what could never match is an error, and all of them are said at once.
func TestCheckFilter(t *testing.T) {
	topology, err := topologies.Lookup("talk")
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	tb := &Testbed{plan: plan}
	for name, test := range map[string]struct {
		filter FlowFilter
		want   string
	}{
		"empty":         {FlowFilter{}, ""},
		"names":         {FlowFilter{From: "client", To: plan.Pods[0].Name, Verdict: "Dropped", Reason: "no-backend"}, ""},
		"addresses":     {FlowFilter{From: "192.0.2.1", To: "[2001:db8::1]:80"}, ""},
		"name":          {FlowFilter{From: "cleint"}, `from: unknown node or pod "cleint": did you mean "client"?`},
		"address":       {FlowFilter{To: "192.0.2.1:http"}, `to: "192.0.2.1:http" is not an address (want a name, an address, or an address and port, as in 192.0.2.1:80 or [2001:db8::1]:80)`},
		"short address": {FlowFilter{To: "192.0.2"}, `to: "192.0.2" is not an address (want a name, an address, or an address and port, as in 192.0.2.1:80 or [2001:db8::1]:80)`},
		"reason":        {FlowFilter{Reason: "no-backnd"}, `reason: unknown reason "no-backnd": did you mean "no-backend"?`},
		"verdict":       {FlowFilter{Verdict: "droped"}, `verdict: unknown verdict "droped": did you mean "dropped"?`},
		"all": {FlowFilter{From: "lbb", To: "1.2.3", Verdict: "x", Reason: "fragmnt"}, `verdict: unknown verdict "x": want one of dropped, forwarded
reason: unknown reason "fragmnt": did you mean "fragment"?
from: unknown node or pod "lbb": did you mean "lb"?
to: "1.2.3" is not an address (want a name, an address, or an address and port, as in 192.0.2.1:80 or [2001:db8::1]:80)`},
	} {
		t.Run(name, func(t *testing.T) {
			err := tb.CheckFilter(test.filter)
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.want)
			}
		})
	}
	assert.ErrorContains(t, FlowFilter{Reason: "not-ours"}.Validate(), `unknown reason "not-ours"`, "there are no flows of it")
}
