package assess

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}

// observed is what goldens are made of: two nodes on a cloud that checks sources, with a VLAN on the way, and counters.
func observed(t *testing.T) Observations {
	t.Helper()
	o := fabric{SourceCheck: true, VLANOverhead: true}.observe()
	o.Of = "shop"
	keep := func(node string) bool { return node != "c" }
	var thinned Observations
	thinned.Schema, thinned.When, thinned.Of, thinned.Client, thinned.Services, thinned.WayIn = o.Schema, o.When, o.Of, o.Client, o.Services, o.WayIn[:2]
	thinned.Client.Addresses = o.Client.Addresses[:1]
	thinned.Services[0].Endpoints = map[string]int{"a": 1, "b": 2}
	for _, n := range o.Nodes[:2] {
		n.ProviderID, n.Addresses = "aws:///eu-west-1a/i-"+n.Name, n.Addresses[:1]
		n.CNI, n.ProxyMode = "AWS VPC CNI", "kube-proxy, iptables"
		thinned.Nodes = append(thinned.Nodes, n)
		thinned.Counters = append(thinned.Counters, Counters{Node: n.Name, BytesIn: 90e6, BytesOut: 150e6, PacketsIn: 120e3, PacketsOut: 140e3})
		thinned.Counters[len(thinned.Counters)-1].Interval.Duration = 10e9
	}
	other := addressesOf(ipv4).nodes["c"].Addr()
	for _, p := range o.Spoof {
		if keep(p.Node) && p.Source.Is4() && p.Source != other {
			thinned.Spoof = append(thinned.Spoof, p)
		}
	}
	for _, p := range o.Direct {
		if keep(p.From) && keep(p.To) && p.Destination.Is4() {
			thinned.Direct = append(thinned.Direct, p)
		}
	}
	for _, p := range o.Tunnel {
		if keep(p.From) && keep(p.To) && p.Destination.Is4() {
			thinned.Tunnel = append(thinned.Tunnel, p)
		}
	}
	thinned.Unread = []Unread{{What: "the speed of eth0", Node: "b", Why: "the driver does not tell"}}
	inOrder(&thinned)
	return thinned
}

func TestGoldenReports(t *testing.T) {
	o := observed(t)
	document, err := yaml.Marshal(o)
	require.NoError(t, err)
	golden(t, "observed.yaml", document)
	r := Diagnose(o)
	var markdown, page bytes.Buffer
	require.NoError(t, Markdown(&markdown, &r))
	golden(t, "report.md", markdown.Bytes())
	require.NoError(t, HTML(&page, &r))
	golden(t, "report.html", page.Bytes())
	data, err := json.MarshalIndent(r, "", "  ")
	require.NoError(t, err)
	golden(t, "report.json", append(data, '\n'))
}

// What a name holds is text in every format.
func TestReportsEscape(t *testing.T) {
	o := fabric{GeneveBlocked: true}.observe()
	o.Of = "<b>|x"
	o.Services[0].Service.Name = "a|<i>"
	r := Diagnose(o)
	var markdown, page bytes.Buffer
	require.NoError(t, Markdown(&markdown, &r))
	assert.Contains(t, markdown.String(), `| default/a\|&lt;i> |`)
	assert.NotContains(t, markdown.String(), "<b>")
	require.NoError(t, HTML(&page, &r))
	assert.NotContains(t, page.String(), "<b>")
	assert.NotContains(t, page.String(), "<i>")
	assert.Contains(t, page.String(), "&lt;b&gt;|x")
}

func TestReportOfNothing(t *testing.T) {
	r := Diagnose(Observations{Schema: Schema})
	var markdown, page bytes.Buffer
	require.NoError(t, Markdown(&markdown, &r))
	require.NoError(t, HTML(&page, &r))
	assert.Contains(t, markdown.String(), "It is not known whether DSR works")
	assert.True(t, strings.HasSuffix(strings.TrimSpace(page.String()), "</html>"))
}
