package observe

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
	for name, test := range map[string]struct {
		filter Filter
		want   string
	}{
		"empty":         {Filter{}, ""},
		"names":         {Filter{From: "client", To: plan.Pods[0].Name, Verdict: "Dropped", Reason: "no-backend"}, ""},
		"addresses":     {Filter{From: "192.0.2.1", To: "[2001:db8::1]:80"}, ""},
		"name":          {Filter{From: "cleint"}, `from: unknown node or pod "cleint": did you mean "client"?`},
		"address":       {Filter{To: "192.0.2.1:http"}, `to: "192.0.2.1:http" is not an address (want a name, an address, or an address and port, as in 192.0.2.1:80 or [2001:db8::1]:80)`},
		"short address": {Filter{To: "192.0.2"}, `to: "192.0.2" is not an address (want a name, an address, or an address and port, as in 192.0.2.1:80 or [2001:db8::1]:80)`},
		"reason":        {Filter{Reason: "no-backnd"}, `reason: unknown reason "no-backnd": did you mean "no-backend"?`},
		"verdict":       {Filter{Verdict: "droped"}, `verdict: unknown verdict "droped": did you mean "dropped"?`},
		"all": {Filter{From: "lbb", To: "1.2.3", Verdict: "x", Reason: "fragmnt"}, `verdict: unknown verdict "x": want one of dropped, forwarded
reason: unknown reason "fragmnt": did you mean "fragment"?
from: unknown node or pod "lbb": did you mean "lb"?
to: "1.2.3" is not an address (want a name, an address, or an address and port, as in 192.0.2.1:80 or [2001:db8::1]:80)`},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.filter.Check(plan)
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.want)
			}
		})
	}
	assert.ErrorContains(t, Filter{Reason: "not-ours"}.Validate(), `unknown reason "not-ours"`, "there are no flows of it")
}
