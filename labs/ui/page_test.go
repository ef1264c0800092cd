package ui

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/internal/browsertest"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/observe"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// stage is a Testbed that shows all there is on the page, and needs no root: a download in mode dsr over a policed port, two callers,
// tables, and a new flow with each reading.
type stage struct {
	*fake
	frontend, client, pod netip.AddrPort
	lab                   labRun
	idle                  bool // no download runs
}

func newStage(t *testing.T) *stage {
	plan := planOf(t, "five-nodes")
	return &stage{
		fake:     &fake{plan: plan},
		frontend: netip.AddrPortFrom(plan.VIPs(plan.Services[0].Name)[0], 8080),
		client:   netip.AddrPortFrom(plan.NodesOf(topologies.RoleClient)[0].Addrs()[0], 40000),
		pod:      netip.AddrPortFrom(plan.Pods[0].Addresses[0], 8080),
	}
}

// flow is a flow of each kind by turns: forwarded, and dropped.
func (s *stage) flow(number int) observe.Flow {
	f := observe.Flow{
		Time: time.Now().Add(-time.Minute), Node: "lb-1", Source: observe.Peer{Address: netip.AddrPortFrom(s.client.Addr(), uint16(40000+number)), Name: "client"},
		Destination: observe.Peer{Address: s.pod, Name: s.plan.Pods[0].Name}, Frontend: s.frontend, Protocol: "TCP", TCPFlags: "SYN",
		Observation: "to-overlay", Verdict: "FORWARDED", Reason: "to-overlay-dsr", Mode: "dsr", Service: "default/tcp-echo:http/TCP",
	}
	if number%4 == 0 {
		f.Destination, f.Frontend = observe.Peer{Address: netip.AddrPortFrom(s.frontend.Addr(), 9)}, netip.AddrPort{}
		f.Protocol, f.TCPFlags, f.Observation, f.Verdict, f.Reason, f.Mode = "UDP", "", "", "DROPPED", "no-frontend", ""
	}
	return f
}

func (s *stage) Read(context.Context) (Reading, error) {
	number := int(s.reads.Add(1))
	r := Reading{At: time.Now(), Flows: []observe.Flow{s.flow(number)}, Tables: Tables{Node: "lb-1"}}
	if number == 1 {
		for i := range keptFlows {
			r.Flows = append(r.Flows, s.flow(i))
		}
	}
	for i, kind := range []string{"LoadBalancer", "NodePort", "ClusterIP"} {
		r.Tables.Frontends = append(r.Tables.Frontends, Frontend{
			Address: netip.AddrPortFrom(s.frontend.Addr(), uint16(8080+i)), Protocol: "TCP", Service: "default/tcp-echo:http/TCP", Kind: kind,
			Mode: "dsr", Connections: uint64(number), Backends: []Backend{
				{Address: s.pod, Pod: s.plan.Pods[0].Name, Node: s.plan.Pods[0].Node, State: "active", Share: 0.5},
				{Address: netip.MustParseAddrPort("10.99.0.1:8080"), State: "draining", Share: 0.5},
			},
		})
	}
	r.Tables.Frontends[2].Backends = []Backend{}
	r.Tables.Total = len(r.Tables.Frontends)
	_, r.Story = s.lab.now()
	return r, nil
}

func (s *stage) State(_, now Reading) State {
	const rate = 240e6
	state := State{
		At: now.At, OwnDataPath: true, Services: []Service{}, Nodes: ratesBetween(drawnNodes(s.plan), now, now),
		Ways:     []Way{{From: "client", To: "lb-1", Kind: Request, Rate: 4e6}, {From: "lb-1", To: "worker-1", Kind: Request, Rate: 4e6}, {From: "worker-1", To: "client", Kind: Reply, Rate: rate}},
		Download: Download{Running: !s.idle, Client: "client", Service: s.plan.Services[0].Name, Connections: 1},
		Callers: []Caller{
			{Address: s.client.Addr(), Name: "client", Calls: 40},
			{Address: s.plan.Node("lb-1").Addrs()[0], Name: "lb-1", IsNode: true, Calls: 20},
		},
	}
	state.Lab, _ = s.lab.now()
	for i := range state.Nodes {
		n := &state.Nodes[i]
		n.Up = n.Name != "lb-2"
		switch n.Name {
		case "client":
			n.ToNode.Rate, n.FromNode.Rate = rate, 4e6
			n.Lanes = Lanes{RequestOut: 4e6, ReplyIn: rate}
		case "worker-1":
			n.FromNode.Rate = rate
			n.Lanes = Lanes{RequestIn: 4e6, ReplyOut: rate}
		case "lb-1":
			n.ToNode = Direction{Rate: 4e6, Drops: 12, LimitRate: 100e6, Limit: topologies.LimitPolice}
		}
	}
	for i := range s.plan.Services {
		state.Services = append(state.Services, Service{Name: s.plan.Services[i].Name, Mode: "dsr", Frontends: []netip.AddrPort{s.frontend}})
	}
	return state
}

func (s *stage) Trace(context.Context, string, string) (*observe.TraceReport, error) {
	in := capture.Headers{{Name: "IPv4", Text: "192.168.1.202 > 185.150.8.128 ttl 64"}, {Name: "TCP", Text: "40000 > 8080 SYN"}}
	out := append(capture.Headers{{Name: "Geneve", Text: "vni 0 option 185.150.8.128:8080 (014b81021f90b9960880)"}}, in...)
	hop := observe.Hop{Flow: s.flow(1), Hook: "from_network", In: in, Out: out}
	dropped := observe.Hop{Flow: s.flow(4), Hook: "from_network", In: in}
	return &observe.TraceReport{Client: s.client, Frontend: s.frontend, Protocol: "udp", Outcome: "ok", Answered: true, Seen: s.client, Hops: []observe.Hop{hop, dropped}}, nil
}

// RunLab tells a made-up story of a lab, which goes on until it is interrupted.
func (s *stage) RunLab(_ context.Context, name string) error {
	lab, err := labs.Lookup(name)
	if err != nil {
		return err
	}
	return s.lab.start(lab, func() {}, func(ctx context.Context, n labs.Narrator) (results.Summary, error) {
		return tellLab(ctx, n, lab, s.plan), nil
	})
}

func (s *stage) StopLab() { s.lab.stop() }

// tellLab tells a lab up to its second phase, and after the interruption its outcome, of every kind.
func tellLab(ctx context.Context, n labs.Narrator, lab *labs.Lab, plan *topologies.Plan) results.Summary {
	n.Begin(lab, plan)
	n.Notice("all rates are divided by 2")
	n.Phase(&lab.Spec.Phases[0], 2)
	n.Trial(lab.Spec.Variants[0], 1, map[string]string{"limit": "police"})
	n.Rate(94e6)
	n.Evidence("dsr", "the pod saw 192.168.1.202")
	<-ctx.Done()
	seen, passed := 1.0, 3.0
	summary := results.Summary{
		Run: "20260101T000000Z-lab-abcde", Lab: lab.Metadata.Name, Result: results.Failed, Reasons: []string{"interrupted after 1 of 2 trials"},
		Expectations: []results.ExpectationOutcome{
			{
				Expectation: results.Expectation{Text: "the pod sees the client", Variant: "dsr", Metric: "source_preserved"}, Outcome: results.Held,
				Evidence: "the pod sees the client: source_preserved of dsr is 1",
			},
			{
				Expectation: results.Expectation{Text: "no reply passes the LB node", Variant: "dsr", Metric: "lb_reply_frames"}, Outcome: results.Broken,
				Evidence: "no reply passes the LB node: lb_reply_frames of dsr is 3; expected at most 0",
			},
			{Expectation: results.Expectation{Text: "the reply is fast", Variant: "snat"}, Outcome: results.NotRun, Evidence: "the reply is fast: never reached"},
		},
		Metrics: []results.MetricSummary{
			{Variant: "dsr", Metric: "source_preserved", Unit: "ratio", N: 1, Valid: 1, Median: &seen},
			{Variant: "dsr", Metric: "lb_reply_frames", Unit: "packets", N: 1, Valid: 1, Median: &passed},
		},
		Claims: []results.ClaimVerdict{
			{ID: "DSR-1", Verdict: results.Reproduced, Headlines: []string{"dsr 100 %", "snat 0 %"}},
			{ID: "DSR-2", Verdict: results.Differs, Evidence: "it is slower"},
		},
	}
	n.End(summary)
	return summary
}

// shown is an expression: how many rows of a list the filter has left.
func shown(list string) string {
	return `[...document.querySelectorAll('#` + list + ` tbody tr')].filter((r) => r.getClientRects().length > 0).length`
}

// TestPageFilters checks that both lists narrow to what is typed, also for rows that come later, and are bounded.
func TestPageFilters(t *testing.T) {
	b := openPageIn(browsertest.New(t), t, newStage(t), Config{Interval: 20 * time.Millisecond})
	b.Wait("tables and flows", shown("tables")+` === 3 && `+shown("flows")+` === `+fmt.Sprint(keptFlows))
	b.Wait("the count", `document.getElementById('flows-count').textContent.startsWith('200 of 200 flows shown; ')`)

	b.choose("tables", "NODEPORT dsr")
	b.Wait("one frontend", shown("tables")+` === 1 && document.getElementById('tables-count').textContent === '1 of 3 frontends shown'`)
	b.Wait("the count for a screen reader", `document.getElementById('rows-status').textContent === '1 of 3 frontends shown'`)
	b.choose("tables", "no-such-thing")
	b.Wait("none", shown("tables")+` === 0`)

	b.choose("flows", "dropped no-frontend")
	b.Wait("drops only", shown("flows")+` === 50 && [...document.querySelectorAll('#flows tbody tr')].every((r) => r.hidden !== r.textContent.includes('dropped'))`)
	b.Wait("an age", `document.querySelector('#flows tbody tr').textContent.startsWith('60 s') || document.querySelector('#flows tbody tr').textContent.startsWith('1 min')`)
	b.Run(chromedp.Evaluate(`globalThis.before = document.querySelector('#flows tbody tr')`, nil))
	b.Wait("a new row, and no more of them", `document.querySelector('#flows tbody tr') !== before && document.querySelectorAll('#flows tbody tr').length === 200`)

	b.click("Pause")
	b.Run(chromedp.Evaluate(`globalThis.before = document.querySelector('#flows tbody tr')`, nil))
	b.Wait("flows that are not shown", `document.getElementById('flows-count').textContent.includes('more since the pause')`)
	var still bool
	b.Run(chromedp.Evaluate(`document.querySelector('#flows tbody tr') === before`, &still))
	assert.True(t, still, "the list moved while paused")
	b.click("Continue")
	b.Wait("the newest", `document.querySelector('#flows tbody tr') !== before && !document.getElementById('flows-count').textContent.includes('pause')`)
	b.NothingWrong()
}

// TestPageTellsLab checks the page's part in a lab: it is started once, told line by line, and ends with its verdicts.
func TestPageTellsLab(t *testing.T) {
	s := newStage(t)
	s.idle = true
	b := openPageIn(browsertest.New(t), t, s, Config{Interval: 20 * time.Millisecond})
	b.Run(chromedp.Evaluate(`document.querySelector('#controls select[aria-label=Lab]').value = '06-dsr-packet-walk'`, nil))
	b.click("Run lab")
	b.Wait("the progress", `document.getElementById('lab-progress').textContent === 'Phase walk, trial 1 of 2, dsr limit=police (repetition 2), 94.0 Mbit/s'`)
	b.Wait("the story", `document.getElementById('lab-story').textContent.includes('dsr: the pod saw 192.168.1.202')`)
	b.Wait("the title", `document.getElementById('lab-title').textContent.includes('packet') && document.getElementById('lab-question').textContent.endsWith('?')`)
	b.Wait("no download meanwhile", `document.getElementById('download').disabled`)
	b.click("Stop lab")
	b.Wait("the result", `document.getElementById('lab-result').textContent === 'Result: failed'`)
	lines := `[...document.querySelectorAll('#lab-story > *')].map((e) => e.textContent)`
	b.Wait("verdicts, each once", lines+`.slice(3).join('|') === 'held dsr: the pod sees the client: connections in which the pod saw the client 100 %|`+
		`failed dsr: no reply passes the LB node: reply packets through the LB node 3 packets, expected at most 0|`+
		`not-run snat: the reply is fast (never reached)|reproduced DSR-1: dsr 100 %; snat 0 %|differs DSR-2: it is slower|failed interrupted after 1 of 2 trials. Run 20260101T000000Z-lab-abcde was recorded.'`)
	b.click("Run lab")
	b.Wait("another story", lines+`.length === 3 && document.getElementById('lab-result').textContent === ''`)
	b.click("Stop lab")
	b.Wait("its end", lines+`.length === 9`)
	s.lab.close()
	b.NothingWrong()
}

// TestPageIsAccessible checks all of the page with axe-core, as wide and as light as people have it. SCREENSHOTS=FOLDER keeps what was seen.
func TestPageIsAccessible(t *testing.T) {
	s := newStage(t)
	require.NoError(t, s.RunLab(t.Context(), "06"))
	s.lab.close()
	b := openPageIn(browsertest.New(t), t, s, Config{Interval: 20 * time.Millisecond})
	b.Run(browsertest.View{Width: 1280, Height: 720}.Set()) // without motion: the trace does not play
	b.Wait("all parts", shown("tables")+` === 3 && `+shown("flows")+` > 0 && document.querySelectorAll('#caller-list li').length === 2 && document.querySelectorAll('#lab-story p').length > 5`)
	b.click("Trace one request")
	b.Wait("the trace", `!document.getElementById('trace').hidden`)
	b.click("Next") // to where there are headers
	b.Wait("headers", `document.querySelectorAll('#trace-hop table').length === 2`)
	for _, view := range browsertest.Views() {
		b.Run(view.Set())
		b.Wait("the view", fmt.Sprintf(`innerWidth === %d && matchMedia('(prefers-color-scheme: dark)').matches === %v`, view.Width, view.Dark))
		b.Wait("nothing beyond the edge", `document.documentElement.scrollWidth <= innerWidth`)
		if folder := os.Getenv("SCREENSHOTS"); folder != "" {
			var shot []byte
			b.Run(chromedp.FullScreenshot(&shot, 100))
			require.NoError(t, os.WriteFile(filepath.Join(folder, view.String()+".png"), shot, 0o644))
		}
		browsertest.Axe(b.Context, t, view.String())
	}
	b.NothingWrong()
}
