package walk

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/report"
)

// reference is a reference run, after change did something to its files.
func reference(t *testing.T, lab string, change func(fstest.MapFS)) *results.Run {
	t.Helper()
	run, err := results.Store{Reference: results.Reference()}.Find(lab)
	require.NoError(t, err)
	if change == nil {
		return run
	}
	folder, err := fs.Sub(results.Reference(), run.Manifest.Run)
	require.NoError(t, err)
	files := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(folder, name)
		files[name] = &fstest.MapFile{Data: data}
		return err
	}))
	change(files)
	run, err = results.Read(files, lab)
	require.NoError(t, err)
	return run
}

// by gives the walk of a variant.
func by(t *testing.T, walks []report.Walk, variant string) report.Walk {
	t.Helper()
	for _, w := range walks {
		if w.Variant == variant {
			require.Empty(t, w.Missing)
			return w
		}
	}
	t.Fatalf("no walk of %s", variant)
	return report.Walk{}
}

// way is what a walk's hops touch, in turn.
func way(w report.Walk) []string {
	var names []string
	for _, h := range w.Hops {
		names = append(names, w.Nodes[h.From].Name+" → "+w.Nodes[h.To].Name)
	}
	return names
}

func TestPacketWalkOfLab06(t *testing.T) {
	walks := Of(reference(t, "06-dsr-packet-walk", nil), "walk")
	w := by(t, walks, "dsr")
	assert.Equal(t, []report.WalkNode{
		{Name: "client", Address: "1.2.3.4"}, {Name: "node-a", Role: "LB node", Address: "85.217.172.142", LB: true},
		{Name: "node-b", Role: "pod node", Address: "85.217.172.143", Pod: "pod tcp-echo"},
	}, w.Nodes)
	assert.Equal(t, []string{"client → node-a", "node-a → node-b", "node-b → client"}, way(w), "the reply does not pass the LB node")
	assert.Equal(t, w.Hops[0].Destination, w.Hops[1].Tunnel.Frontend, "the option holds what the client called")
	assert.Equal(t, w.Hops[0].Source, w.Hops[1].Source, "and the client is inside")
	assert.Equal(t, w.Hops[0].Destination, w.Hops[2].Source, "which is where the reply comes from")
	assert.Equal(t, []int{1}, w.Hops[2].Without)
}

func TestWaysOfLab01(t *testing.T) {
	walks := Of(reference(t, "01-source-ip", nil), "addresses")
	require.Len(t, walks, 5)
	request := []string{"client → node-a", "node-a → node-b"}
	through, straight := append(request, "node-b → node-a", "node-a → client"), append(request, "node-b → client")
	assert.Equal(t, through, way(by(t, walks, "kube-proxy")), "the reply passes the LB node")
	assert.Equal(t, through, way(by(t, walks, "snat")))
	assert.Equal(t, straight, way(by(t, walks, "dsr")))
	assert.Equal(t, append(straight, "client → node-b"), way(by(t, walks, "dnat-only")), "the client rejects what it did not call")
	assert.Equal(t, []string{"client → node-b", "node-b → client"}, way(by(t, walks, "none")))
	assert.Nil(t, by(t, walks, "kube-proxy").Hops[1].Tunnel)
	assert.Empty(t, by(t, walks, "snat").Hops[1].Tunnel.Option)
}

// A capture that is cut short, damaged, or not there costs the walk, and is named.
func TestDamagedCaptures(t *testing.T) {
	const name = "raw/walk-dsr-node-b.pcapng"
	for what, test := range map[string]struct {
		change func(fstest.MapFS)
		want   string
	}{
		"truncated": {func(files fstest.MapFS) { files[name].Data = files[name].Data[:len(files[name].Data)/2+1] },
			"raw/walk-dsr-node-b.pcapng: read capture: unexpected EOF"},
		"empty":    {func(files fstest.MapFS) { files[name].Data = nil }, "raw/walk-dsr-node-b.pcapng: read capture: EOF"},
		"no pcap":  {func(files fstest.MapFS) { files[name].Data = make([]byte, 4096) }, "raw/walk-dsr-node-b.pcapng: read capture: Unknown magic 0"},
		"too long": {func(files fstest.MapFS) { files[name].Data = make([]byte, 17<<20) }, "read raw file: raw/walk-dsr-node-b.pcapng: too large: found 17 MiB (want at most 16 MiB)"},
		"missing": {func(files fstest.MapFS) { delete(files, name) },
			"no capture holds where the SYN arrived that node-a sent to 10.0.1.50:8080"},
	} {
		t.Run(what, func(t *testing.T) {
			assert.Contains(t, Of(reference(t, "06-dsr-packet-walk", test.change), "walk"), report.Walk{Phase: "walk", Variant: "dsr", Missing: test.want})
		})
	}
}

// A run without captures, or from before its document was a plan, has no walks.
func TestNoWalks(t *testing.T) {
	none := reference(t, "06-dsr-packet-walk", func(files fstest.MapFS) {
		for name := range files {
			if strings.HasPrefix(name, "raw/") {
				delete(files, name)
			}
		}
	})
	assert.Empty(t, Of(none, "walk"))
	run := reference(t, "06-dsr-packet-walk", nil)
	assert.Empty(t, Of(run, "another phase"))
	run.Manifest.Topology.Document = "kind: Topology\n"
	assert.Empty(t, Of(run, "walk"))
}

// Of a trial that was taken again, the captures of the last take count; an older plan has one address for each node and pod.
func TestLastTake(t *testing.T) {
	run := reference(t, "06-dsr-packet-walk", func(files fstest.MapFS) {
		for _, node := range []string{"client", "node-a", "node-b"} {
			files["raw/walk-dsr-"+node+"-take2.pcapng"] = files["raw/walk-dsr-"+node+".pcapng"]
			files["raw/walk-dsr-"+node+".pcapng"] = &fstest.MapFile{Data: []byte("interrupted")}
		}
		var manifest map[string]any
		require.NoError(t, json.Unmarshal(files["manifest.json"].Data, &manifest))
		topology := manifest["topology"].(map[string]any)
		var plan map[string]any
		require.NoError(t, json.Unmarshal([]byte(topology["document"].(string)), &plan))
		for _, list := range []string{"nodes", "pods"} {
			for _, one := range plan[list].([]any) {
				of := one.(map[string]any)
				of["address"] = of["addresses"].([]any)[0]
				delete(of, "addresses")
			}
		}
		document, err := json.Marshal(plan)
		require.NoError(t, err)
		topology["document"] = string(document)
		files["manifest.json"].Data, err = json.Marshal(manifest)
		require.NoError(t, err)
	})
	w := by(t, Of(run, "walk"), "dsr")
	assert.Len(t, w.Hops, 3)
	assert.Equal(t, "85.217.172.142", w.Nodes[1].Address)
}
