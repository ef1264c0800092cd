package ui

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/internal/browsertest"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// browser is a testbed's page in headless Chromium.
type browser struct {
	*browsertest.Page
	t    *testing.T
	live *Live // nil: the testbed is made up
}

// openPage brings a testbed up and opens its page.
func openPage(t *testing.T, topology string, mode services.Mode) *browser {
	ctx := browsertest.New(t)
	live := newLive(t, topology, mode)
	b := openPageIn(ctx, t, live, Config{})
	b.live = live
	return b
}

// openPageIn opens the page of a testbed.
func openPageIn(ctx context.Context, t *testing.T, tb Testbed, config Config) *browser {
	config.Testbed, config.Token, config.Loopback = tb, token, true
	server, err := New(config)
	require.NoError(t, err)
	web := httptest.NewServer(server)
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })

	b := &browser{Page: browsertest.Watch(ctx, t, web.URL), t: t}
	b.Run(chromedp.Navigate(web.URL + "/#token=" + token))
	b.Wait("the picture", `document.querySelectorAll('#picture svg').length === 2 && !document.getElementById('download').disabled`)
	return b
}

// click clicks the button with a text.
func (b *browser) click(text string) {
	b.t.Helper()
	find := `[...document.querySelectorAll('button')].find((b) => b.textContent.startsWith('` + text + `') && !b.disabled)`
	b.Wait("button "+text, find)
	b.Run(chromedp.Evaluate(find+`.click()`, nil))
}

// choose types into a list's filter, in place of what is there.
func (b *browser) choose(list, words string) {
	b.t.Helper()
	id := list + "-filter"
	b.Run(chromedp.Evaluate(`document.getElementById('`+id+`').value = ''`, nil), chromedp.SendKeys(id, words, chromedp.ByID))
}

// on is an expression: a way is drawn.
func on(from, to string, kind Kind) string {
	return `document.querySelector('.wide [data-from="` + from + `"][data-to="` + to + `"][data-kind="` + string(kind) + `"]').classList.contains('on')`
}

// TestPageSwitchesModes checks what the page is for: with the mode, the way of the replies and the rate change while a download runs.
func TestPageSwitchesModes(t *testing.T) {
	b := openPage(t, "talk", services.ModeSNAT)
	const rate = `(parseFloat(document.getElementById('rate').textContent) * (document.getElementById('rate').textContent.includes('Gbit') ? 1000 : 1))`
	const isMbit = `document.getElementById('rate').textContent.includes('bit/s') && !document.getElementById('rate').textContent.includes('kbit')`
	b.click("Start download")
	b.Wait("replies by the LB node", isMbit+` && `+rate+` > 5 && `+rate+` < 101 && `+on("lb", "client", Reply)+` && !`+on("worker", "client", Reply))
	b.Wait("calls from the node", `document.getElementById('caller-list').textContent.includes('192.168.1.11 node lb')`)
	b.click("dsr")
	b.Wait("replies past the LB node", isMbit+` && `+rate+` > 105 && `+on("worker", "client", Reply)+` && !`+on("lb", "client", Reply))
	b.Wait("calls from the client", `document.getElementById('caller-list').textContent.includes('192.168.1.202 client itself')`)
	b.Wait("the tables", `document.querySelector('#tables tbody').textContent.includes('tcp-echo')`)
	b.choose("flows", "to-overlay-dsr client")
	b.Wait("a DSR connection", `[...document.querySelectorAll('#flows tbody tr')].some((r) => !r.hidden && r.textContent.includes('dsr'))`)
	b.click("Trace one request")
	b.Wait("a trace", `document.getElementById('trace-summary').textContent.includes('ok; the pod saw 192.168.1.202')`)
	for range 3 {
		b.click("Next")
		b.Run(chromedp.Evaluate(`0`, nil))
	}
	b.click("Back")
	b.Wait("the DSR option", `(document.getElementById('trace-back').click(), document.getElementById('trace-hop').textContent.includes('DSR option: class 0x014b, type 0x81, 8 bytes'))`)
	b.click("police")
	b.Wait("a policer", `document.querySelector('.wide [data-node="lb"][data-text="limit"]').textContent.includes('policed')`)
	b.click("snat")
	b.Wait("replies by the LB node again", on("lb", "client", Reply))
	b.click("Stop download")
	b.Wait("the end", `document.getElementById('download').textContent.startsWith('Start')`)
	b.NothingWrong()
}

// TestPageRunsLab runs a lab from the page to its verdict, and interrupts another one, which leaves nothing.
func TestPageRunsLab(t *testing.T) {
	b := openPage(t, "talk", services.ModeDSR)
	choose := func(lab string) {
		b.Run(chromedp.Evaluate(`document.querySelector('#controls select[aria-label=Lab]').value = '`+lab+`'`, nil))
		b.click("Run lab")
	}
	choose("06-dsr-packet-walk")
	b.Wait("its phase", `document.getElementById('lab-story').textContent.includes('The client calls the VIP')`)
	b.Wait("its result", `document.getElementById('lab-result').textContent === 'Result: passed'`)
	b.Wait("a verdict", `document.querySelectorAll('#lab-story .claim .good').length > 0 && document.querySelectorAll('#lab-story .expectation .bad').length === 0`)

	choose("02-throughput") // for minutes
	b.Wait("a trial", `document.getElementById('lab-progress').textContent.includes('trial ')`)
	b.click("Stop lab")
	b.Wait("its end", `document.getElementById('lab-result').textContent === 'Result: untested'`)
	b.Wait("why", `document.getElementById('lab-story').textContent.includes('interrupted after ')`)
	all, err := netns.List(b.live.tb.Network().StateDir())
	require.NoError(t, err)
	require.Len(t, all, 1, "the lab's testbed was left")
	release, err := netns.AcquireMachine(t.Context(), nil)
	require.NoError(t, err)
	release()
	b.NothingWrong()
}

func TestPageKillsLBNode(t *testing.T) {
	b := openPage(t, "five-nodes", services.ModeDSR)
	b.click("Kill lb-1")
	b.Wait("the node down", `document.querySelector('.wide [data-box="lb-1"]').classList.contains('down')`)
	b.click("Start download")
	b.Wait("replies past LB nodes", on("worker-1", "client", Reply)+` || `+on("worker-2", "client", Reply))
	b.Wait("requests by the other LB node", on("client", "lb-2", Request)+` && !`+on("client", "lb-1", Request))
	b.click("Restore lb-1")
	b.Wait("the node up", `!document.querySelector('.wide [data-box="lb-1"]').classList.contains('down')`)
	b.NothingWrong()
}
