package report

import (
	"bytes"
	"encoding/xml"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

// dsrWalk is a request under DSR: to the LB node, in Geneve to the pod node, and from there back.
func dsrWalk() Walk {
	client, vip, pod := netip.MustParseAddrPort("1.2.3.4:40000"), netip.MustParseAddrPort("185.150.8.128:8080"), netip.MustParseAddrPort("10.0.1.50:8080")
	return Walk{
		Phase: "addresses", Variant: "dsr",
		Nodes: []WalkNode{
			{Name: "client", Address: "1.2.3.4"}, {Name: "node-a", Role: "LB node", Address: "85.217.172.142", LB: true},
			{Name: "node-b", Role: "pod node", Address: "85.217.172.143", Pod: "pod tcp-echo"},
		},
		Hops: []WalkHop{
			{From: 0, To: 1, Packet: "SYN", Source: client, Destination: vip, TTL: 64, ArrivedTTL: 63},
			{From: 1, To: 2, Packet: "SYN", Source: client, Destination: pod, TTL: 62, ArrivedTTL: 62, Tunnel: &WalkTunnel{
				Source: netip.MustParseAddr("85.217.172.142"), Destination: netip.MustParseAddr("85.217.172.143"), VNI: 2, TTL: 64, ArrivedTTL: 64,
				Option: "class 0x014b, type 0x81", Frontend: vip,
			}},
			{From: 2, To: 0, Reply: true, Packet: "SYN-ACK", Source: vip, Destination: client, TTL: 63, ArrivedTTL: 62, Without: []int{1}},
		},
	}
}

// rejectedWalk is a request whose reply comes from the pod's own address.
func rejectedWalk() Walk {
	w := dsrWalk()
	client, pod := w.Hops[1].Source, w.Hops[1].Destination
	w.Variant = "dnat-only"
	w.Hops[1].Tunnel = nil
	w.Hops[2].Source = pod
	w.Hops = append(w.Hops, WalkHop{From: 0, To: 2, Packet: "RST", Source: client, Destination: pod, TTL: 64, ArrivedTTL: 63, Without: []int{1}})
	return w
}

// walkStory is a story with walks alone.
func walkStory(walks ...Walk) Story {
	return Story{Pictures: []Picture{{Name: "walk", Title: "One request and its reply", Walk: "addresses", Variants: []string{"dsr", "dnat-only"}}}, Walks: walks}
}

func TestWalkChart(t *testing.T) {
	other := dsrWalk()
	other.Variant = "kube-proxy"
	phase := dsrWalk()
	phase.Phase = "another"
	run := &results.Run{}
	charts := StoryCharts(run, walkStory(rejectedWalk(), other, phase, dsrWalk()))
	require.Len(t, charts, 2)
	assert.Equal(t, "walk-dsr", charts[0].Name)
	assert.Equal(t, "walk-dnat-only", charts[1].Name)
	assert.Equal(t, "One request and its reply: dsr", charts[0].Title)
	assert.Equal(t, "The request reaches the pod node from 1.2.3.4, the client. The reply comes straight from node-b, from 185.150.8.128:8080, "+
		"which the client called. From the run's captures raw/addresses-dsr-*.pcapng.", charts[0].Caption)
	assert.Contains(t, charts[1].Caption, "from 10.0.1.50:8080; the client called 185.150.8.128:8080. The client rejects it.")
	for _, c := range charts {
		svg := wellFormed(t, c)
		assert.Contains(t, svg, ">not at node-a</text>")
		assert.Contains(t, svg, "var(--request)")
		assert.Contains(t, svg, "--reply:#C2410C;")
		var again, png bytes.Buffer
		require.NoError(t, c.SVG(&again, Auto))
		assert.Equal(t, svg, again.String())
		require.NoError(t, c.PNG(&png, Dark))
	}
	assert.Contains(t, wellFormed(t, charts[1]), ">4  rejection, RST</text>")
}

// Goldens of walks are made with -update, as others.
func TestGoldenWalk(t *testing.T) {
	for name, w := range map[string]Walk{"walk-dsr.svg": dsrWalk(), "walk-dnat-only.svg": rejectedWalk()} {
		var svg bytes.Buffer
		require.NoError(t, StoryCharts(&results.Run{}, walkStory(w))[0].SVG(&svg, Light))
		path := filepath.Join("testdata", name)
		if flag.Lookup("update").Value.String() == "true" {
			require.NoError(t, os.WriteFile(path, svg.Bytes(), 0o644))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err, "run the tests with -update to make it")
		assert.Equal(t, string(want), svg.String(), "run the tests with -update if the change is meant")
	}
}

func TestWalkChanges(t *testing.T) {
	through := dsrWalk()
	client, vip := through.Hops[0].Source, through.Hops[0].Destination
	node, pod := netip.MustParseAddrPort("85.217.172.142:61000"), through.Hops[1].Destination
	through.Hops[1].Source = node
	through.Hops = append(through.Hops[:2],
		WalkHop{From: 2, To: 1, Reply: true, Packet: "SYN-ACK", Source: pod, Destination: node, TTL: 63, ArrivedTTL: 63},
		WalkHop{From: 1, To: 0, Reply: true, Packet: "SYN-ACK", Source: vip, Destination: client, TTL: 62, ArrivedTTL: 61})
	changed := func(w Walk) (all []string) {
		for _, row := range w.rows() {
			all = append(all, row[6])
		}
		return all
	}
	assert.Equal(t, []string{"", "destination, Geneve added", "source"}, changed(dsrWalk()), "the reply's source is no longer the pod")
	assert.Equal(t, []string{"", "source, destination, Geneve added", "", "source, destination"}, changed(through))
	assert.Equal(t, []string{"", "destination", "", ""}, changed(rejectedWalk()), "nothing changes the reply")
	assert.Contains(t, through.summary(), "from 85.217.172.142, node-a. The reply comes through node-a, from 185.150.8.128:8080")
	assert.Equal(t, []string{
		"3", "node-b → client, not at node-a", "reply, SYN-ACK", "185.150.8.128:8080 → 1.2.3.4:40000", "", "63, then 62", "source",
	}, func() []string { w := dsrWalk(); return w.rows()[2] }())
}

// Long addresses go on in the next line, many nodes make the picture wider, and no text leaves it.
func TestWalkFits(t *testing.T) {
	w := dsrWalk()
	long := netip.MustParseAddrPort("[2001:db8:1234:5678:9abc:def0:1234:5678]:65535")
	for i := range w.Hops {
		w.Hops[i].Source, w.Hops[i].Destination = long, long
	}
	w.Hops[1].Tunnel.Source, w.Hops[1].Tunnel.Destination, w.Hops[1].Tunnel.Frontend = long.Addr(), long.Addr(), long
	w.Nodes = append(w.Nodes, WalkNode{Name: strings.Repeat("a-long-name-", 4), Role: "network load balancer", Address: long.Addr().String()})
	page := StoryCharts(&results.Run{}, walkStory(w))[0]
	for _, c := range []Chart{page, page.onSlide()} {
		var picture struct {
			Texts []struct {
				X      float64 `xml:"x,attr"`
				Length float64 `xml:"textLength,attr"`
				Text   string  `xml:",chardata"`
			} `xml:"g>text"`
		}
		require.NoError(t, xml.Unmarshal([]byte(wellFormed(t, c)), &picture))
		require.Greater(t, len(picture.Texts), 20)
		for _, text := range picture.Texts {
			assert.Positive(t, text.Length, text.Text)
			assert.GreaterOrEqual(t, text.X, 0.0, text.Text)
			assert.LessOrEqual(t, text.X+text.Length, c.width().Points(), text.Text)
		}
	}
}

// TestWalkOnSlide: a slide has its own heading, and each header of a hop has a line, so that letters are large.
func TestWalkOnSlide(t *testing.T) {
	page := StoryCharts(&results.Run{}, walkStory(dsrWalk()))[0]
	c := page.onSlide()
	assert.NotContains(t, wellFormed(t, c), ">One request and its reply: dsr</text>")
	assert.Less(t, c.height(), page.height())
	assert.GreaterOrEqual(t, float64(c.width()/c.height()), 1.8, "it fills the slide")
}

// WalkStory is a story with two walks, for tests of pages.
func WalkStory() Story { return walkStory(dsrWalk(), rejectedWalk()) }

// Why there is no walk is said where it would stand, also to those who read Markdown; of what was never captured nothing is said.
func TestMissingWalk(t *testing.T) {
	run, err := results.Open(resultstest.Run(t, t.TempDir(), resultstest.Options{}))
	require.NoError(t, err)
	story := walkStory(Walk{Phase: "addresses", Variant: "dsr", Missing: "raw/<x>.pcapng: unexpected EOF"}, rejectedWalk())
	for name, render := range map[string]func(*bytes.Buffer) error{
		"html":     func(b *bytes.Buffer) error { return HTML(b, run, story) },
		"markdown": func(b *bytes.Buffer) error { return Markdown(b, run, story) },
		"all html": func(b *bytes.Buffer) error { return AllHTML(b, []Told{{Run: run, Story: story}}, nil) },
		"all text": func(b *bytes.Buffer) error { return AllMarkdown(b, []Told{{Run: run, Story: story}}, nil) },
	} {
		var page bytes.Buffer
		require.NoError(t, render(&page))
		assert.Contains(t, page.String(), "No packet walk of dsr: raw/&lt;x", name)
		assert.Contains(t, page.String(), "One request and its reply: dnat-only", name)
		assert.NotContains(t, page.String(), "One request and its reply: dsr", name)
	}
	var page bytes.Buffer
	require.NoError(t, Markdown(&page, run, walkStory()))
	assert.NotContains(t, page.String(), "No packet walk")
}
