package topologies

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGraphs(t *testing.T) {
	all := plans(t)
	all["many"] = planOf(t, "many", manyNodes(1000))
	for _, name := range []string{"talk", "source-ip", "five-nodes", "dual-stack", "edge", "valid-links", "valid-policed", "valid-minimal", "valid-named-ports", "many"} {
		t.Run(name, func(t *testing.T) {
			picture, err := SVG(all[name])
			require.NoError(t, err)
			golden(t, "graph-"+name+".svg", string(picture))
			golden(t, "graph-"+name+".mmd", Mermaid(all[name]))
		})
	}
}

// TestGraphShows checks that nothing of a plan is missing from its pictures.
func TestGraphShows(t *testing.T) {
	for name, plan := range plans(t) {
		picture, err := SVG(plan)
		require.NoError(t, err)
		for _, text := range []string{string(picture), Mermaid(plan)} {
			for _, n := range plan.Nodes {
				assert.Contains(t, text, n.Name, name)
				for _, a := range n.Addresses {
					assert.Contains(t, text, a.Addr().String(), name)
				}
				if n.ToNode.Rate != 0 {
					assert.Contains(t, text, n.ToNode.Rate.String(), name)
				}
			}
			for _, p := range plan.Pods {
				assert.Contains(t, text, p.Name, name)
				for _, a := range p.Addresses {
					assert.Contains(t, text, a.String(), name)
				}
			}
			for i := range plan.Services {
				for _, f := range frontendAddresses(&plan.Services[i]) {
					assert.Contains(t, text, "VIP "+f.address.String(), name)
				}
			}
		}
	}
}

func TestGraphEscapes(t *testing.T) {
	source, err := Source("talk")
	require.NoError(t, err)
	plan := planOf(t, "talk", source)
	plan.Nodes[0].Name = `<b>"&`
	picture, err := SVG(plan)
	require.NoError(t, err)
	assert.Contains(t, string(picture), "&lt;b&gt;&#34;&amp;</text>")
	assert.Contains(t, Mermaid(plan), "#lt;b#gt;#quot;&<br/>")
	assert.Equal(t, 1, strings.Count(string(picture), "</svg>"))
}
