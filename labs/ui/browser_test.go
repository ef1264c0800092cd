package ui

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/internal/browsertest"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// patience bounds each wait for what the page has to show; nothing is expected at a certain time.
const patience = 90 * time.Second

// browser is a page in headless Chromium.
type browser struct {
	ctx  context.Context
	t    *testing.T
	live *Live // nil: the testbed is made up

	mu     sync.Mutex
	errors []string // of the console, and requests to other servers
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

	b := &browser{ctx: ctx, t: t}
	chromedp.ListenTarget(ctx, func(event any) { b.note(event, web.URL) })
	b.run(network.Enable(), log.Enable(), chromedp.Navigate(web.URL+"/#token="+token))
	b.wait("the picture", `document.querySelectorAll('#picture svg').length === 2 && !document.getElementById('download').disabled`)
	return b
}

func (b *browser) note(event any, own string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			b.errors = append(b.errors, "console: "+string(e.Type))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			b.errors = append(b.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if url := e.Request.URL; !strings.HasPrefix(url, own) && !strings.HasPrefix(url, "data:") {
			b.errors = append(b.errors, "request to "+url)
		}
	}
}

func (b *browser) run(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if b.ctx.Err() == nil && chromedp.FromContext(b.ctx).Target == nil {
		ctx = b.ctx // the browser lives as long as the context that it is started with
	}
	require.NoError(b.t, chromedp.Run(ctx, actions...))
}

// wait waits until an expression is true on the page.
func (b *browser) wait(what, expression string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		var is bool
		b.run(chromedp.Evaluate("Boolean("+expression+")", &is))
		return is
	}, patience, 50*time.Millisecond, "%s never came: %s", what, expression)
}

// click clicks the button with a text.
func (b *browser) click(text string) {
	b.t.Helper()
	find := `[...document.querySelectorAll('button')].find((b) => b.textContent.startsWith('` + text + `') && !b.disabled)`
	b.wait("button "+text, find)
	b.run(chromedp.Evaluate(find+`.click()`, nil))
}

// choose types into a list's filter, in place of what is there.
func (b *browser) choose(list, words string) {
	b.t.Helper()
	id := list + "-filter"
	b.run(chromedp.Evaluate(`document.getElementById('`+id+`').value = ''`, nil), chromedp.SendKeys(id, words, chromedp.ByID))
}

// noErrors checks that the page did nothing that it must not.
func (b *browser) noErrors() {
	b.mu.Lock()
	defer b.mu.Unlock()
	assert.Empty(b.t, b.errors)
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
	b.wait("replies by the LB node", isMbit+` && `+rate+` > 5 && `+rate+` < 101 && `+on("lb", "client", Reply)+` && !`+on("worker", "client", Reply))
	b.wait("calls from the node", `document.getElementById('caller-list').textContent.includes('192.168.1.11 node lb')`)
	b.click("dsr")
	b.wait("replies past the LB node", isMbit+` && `+rate+` > 105 && `+on("worker", "client", Reply)+` && !`+on("lb", "client", Reply))
	b.wait("calls from the client", `document.getElementById('caller-list').textContent.includes('192.168.1.202 client itself')`)
	b.wait("the tables", `document.querySelector('#tables tbody').textContent.includes('tcp-echo')`)
	b.choose("flows", "to-overlay-dsr client")
	b.wait("a DSR connection", `[...document.querySelectorAll('#flows tbody tr')].some((r) => !r.hidden && r.textContent.includes('dsr'))`)
	b.click("Trace one request")
	b.wait("a trace", `document.getElementById('trace-summary').textContent.includes('ok; the pod saw 192.168.1.202')`)
	for range 3 {
		b.click("Next")
		b.run(chromedp.Evaluate(`0`, nil))
	}
	b.click("Back")
	b.wait("the DSR option", `(document.getElementById('trace-back').click(), document.getElementById('trace-hop').textContent.includes('DSR option: class 0x014b, type 0x81, 8 bytes'))`)
	b.click("police")
	b.wait("a policer", `document.querySelector('.wide [data-node="lb"][data-text="limit"]').textContent.includes('policed')`)
	b.click("snat")
	b.wait("replies by the LB node again", on("lb", "client", Reply))
	b.click("Stop download")
	b.wait("the end", `document.getElementById('download').textContent.startsWith('Start')`)
	b.noErrors()
}

// TestPageRunsLab runs a lab from the page to its verdict, and interrupts another one, which leaves nothing.
func TestPageRunsLab(t *testing.T) {
	b := openPage(t, "talk", services.ModeDSR)
	choose := func(lab string) {
		b.run(chromedp.Evaluate(`document.querySelector('#controls select[aria-label=Lab]').value = '`+lab+`'`, nil))
		b.click("Run lab")
	}
	choose("06-dsr-packet-walk")
	b.wait("its phase", `document.getElementById('lab-story').textContent.includes('The client calls the VIP')`)
	b.wait("its result", `document.getElementById('lab-result').textContent === 'Result: passed'`)
	b.wait("a verdict", `document.querySelectorAll('#lab-story .claim .good').length > 0 && document.querySelectorAll('#lab-story .expectation .bad').length === 0`)

	choose("02-throughput") // for minutes
	b.wait("a trial", `document.getElementById('lab-progress').textContent.includes('trial ')`)
	b.click("Stop lab")
	b.wait("its end", `document.getElementById('lab-result').textContent === 'Result: untested'`)
	b.wait("why", `document.getElementById('lab-story').textContent.includes('interrupted after ')`)
	all, err := netns.List(b.live.tb.Network().StateDir())
	require.NoError(t, err)
	require.Len(t, all, 1, "the lab's testbed was left")
	release, err := netns.AcquireMachine(t.Context(), nil)
	require.NoError(t, err)
	release()
	b.noErrors()
}

func TestPageKillsLBNode(t *testing.T) {
	b := openPage(t, "five-nodes", services.ModeDSR)
	b.click("Kill lb-1")
	b.wait("the node down", `document.querySelector('.wide [data-box="lb-1"]').classList.contains('down')`)
	b.click("Start download")
	b.wait("replies past LB nodes", on("worker-1", "client", Reply)+` || `+on("worker-2", "client", Reply))
	b.wait("requests by the other LB node", on("client", "lb-2", Request)+` && !`+on("client", "lb-1", Request))
	b.click("Restore lb-1")
	b.wait("the node up", `!document.querySelector('.wide [data-box="lb-1"]').classList.contains('down')`)
	b.noErrors()
}
