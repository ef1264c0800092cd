package assess

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

func TestReadWhatIsWritten(t *testing.T) {
	for _, f := range []fabric{{}, {SourceCheck: true, NodeBehindNAT: true, ChecksumOffload: true}} {
		o := f.observe()
		data, err := o.JSON()
		require.NoError(t, err)
		again, err := Parse(data)
		require.NoError(t, err)
		assert.Equal(t, o, again)

		document, err := yaml.JSONToYAML(data)
		require.NoError(t, err)
		again, err = Parse(document)
		require.NoError(t, err)
		assert.Equal(t, Diagnose(o), Diagnose(again))
	}
}

func TestReadRefuses(t *testing.T) {
	const head = "schema: " + Schema + "\nnodes: [{name: a, addresses: [10.0.0.1/24]}, {name: b, addresses: []}]\n"
	for document, want := range map[string]string{
		"":                        `schema: unknown version "" (want dsrlab.dev/assess/v1)`,
		"schema: dsrlab.dev/x/v9": `schema: unknown version "dsrlab.dev/x/v9" (want dsrlab.dev/assess/v1)`,
		head + "spof: []":         `read observations: error unmarshaling JSON: while decoding JSON: json: unknown field "spof"`,
		head + "spoof: [{node: x, source: 10.0.0.1}]":                            `spoof[0].node: unknown node "x" (want one of nodes)`,
		head + "spoof: [{node: a}]":                                              "spoof[0].source: found none (want an address)",
		head + "spoof: [{node: a, source: 10.0.0.1, sent: 2, arrived: 3}]":       "spoof[0]: found 2 sent, 3 seen (want not more seen than sent)",
		head + "direct: [{from: a, to: b, sent: 3, arrived: 1, delivered: 2}]":   "direct[0].delivered: found 1 sent, 2 seen (want not more seen than sent)",
		head + "tunnel: [{from: a, to: c, sent: -1}]":                            "tunnel[0].to: unknown node \"c\" (want one of nodes)\ntunnel[0]: found -1 sent, 0 seen (want not more seen than sent)",
		head + "wayBack: [{entry: a, answer: z, opened: 1, syns: 2}]":            "wayBack[0].answer: unknown node \"z\" (want one of nodes)\nwayBack[0].syns: found 1 sent, 2 seen (want not more seen than sent)",
		"schema: " + Schema + "\nnodes: [{name: a}, {name: a}, {addresses: []}]": "nodes[1].name: found \"a\" (want a name that no other node has)\nnodes[2].name: found \"\" (want a name that no other node has)",
		strings.Repeat("[", maxValues+1):                                         "observations: too large: found about 4194306 values (want at most 4194304)",
	} {
		_, err := Parse([]byte(document))
		assert.EqualError(t, err, want)
	}
	file := filepath.Join(t.TempDir(), "observed.yaml")
	require.NoError(t, os.WriteFile(file, []byte(head+"spof: []"), 0o600))
	_, err := Read(file)
	assert.ErrorContains(t, err, file+": read observations: ")
	_, err = Read("/dev/zero")
	assert.EqualError(t, err, "/dev/zero: too large: found more (want at most 16 MiB)")
}

func TestReadBoundsNodes(t *testing.T) {
	_, err := Parse([]byte("schema: " + Schema + "\nnodes:\n" + strings.Repeat("- {name: a}\n", maxNodes+1)))
	assert.EqualError(t, err, "nodes: found 251 (want at most 250)")
}

// Where no call arrives no node is an entry.
func TestReadConnectionsThatArriveNowhere(t *testing.T) {
	o := fabric{}.observe()
	o.WayBack = []WayBackProbe{{Frontend: o.WayIn[0].Frontend, Opened: 4}}
	data, err := o.JSON()
	require.NoError(t, err)
	again, err := Parse(data)
	require.NoError(t, err)
	assert.Equal(t, o, again)
}

// Whatever a file holds, it is refused or judged.
func FuzzParse(f *testing.F) {
	f.Add([]byte("schema: " + Schema))
	o := fabric{SourceCheck: true, VLANOverhead: true}.observe()
	o.Spoof, o.Direct, o.Tunnel, o.WayIn, o.WayBack = o.Spoof[:6], o.Direct[:2], o.Tunnel[:3], o.WayIn[:1], o.WayBack[:1] // short, to be mutated fast
	data, err := o.JSON()
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, document []byte) {
		if o, err := Parse(document); err == nil {
			r := Diagnose(o)
			assert.NotEmpty(t, r.Answer())
		}
	})
}
