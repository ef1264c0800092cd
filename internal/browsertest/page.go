package browsertest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience bounds each wait for what a page has to show; nothing is expected at a certain time.
const patience = 90 * time.Second

// Page is the page in a tab, and what it has done that it must not.
type Page struct {
	// Context is the tab's, for chromedp.
	Context context.Context

	t     testing.TB
	mu    sync.Mutex
	wrong []string
}

// Watch starts a tab, and its browser if that does not run yet, and notes what the page in it does wrong from then on: errors and warnings on
// its console, and requests for anything whose URL does not begin with own.
func Watch(tab context.Context, t testing.TB, own string) *Page {
	t.Helper()
	p := &Page{Context: tab, t: t}
	chromedp.ListenTarget(tab, func(event any) { p.note(event, own) })
	require.NoError(t, chromedp.Run(tab, network.Enable(), log.Enable())) // without a deadline: the tab lives as long as what starts it
	return p
}

func (p *Page) note(event any, own string) {
	wrong := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		wrong = e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			wrong = "console: " + string(e.Type)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			wrong = e.Entry.Text + " " + e.Entry.URL
		}
	case *inspector.EventTargetCrashed:
		wrong = "the page's process has crashed"
	case *network.EventRequestWillBeSent:
		if url := e.Request.URL; !strings.HasPrefix(url, own) && !strings.HasPrefix(url, "data:") {
			wrong = "request for " + url
		}
	}
	if wrong != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wrong = append(p.wrong, wrong)
	}
}

// Run runs actions on the page.
func (p *Page) Run(actions ...chromedp.Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.Context, patience)
	defer cancel()
	require.NoError(p.t, chromedp.Run(ctx, actions...))
}

// Wait waits until an expression of JavaScript is true on the page.
func (p *Page) Wait(what, expression string) {
	p.t.Helper()
	var err error
	came := assert.Eventually(p.t, func() bool {
		var is bool
		ctx, cancel := context.WithTimeout(p.Context, patience)
		defer cancel()
		err = chromedp.Run(ctx, chromedp.Evaluate("Boolean("+expression+")", &is))
		return is || err != nil
	}, patience, 20*time.Millisecond, "%s never came: %s", what, expression)
	require.NoError(p.t, err, what)
	if !came {
		var shows string
		p.Run(chromedp.Evaluate("document.body.innerText", &shows))
		p.t.Fatalf("the page shows:\n%s", shows)
	}
}

// NothingWrong checks that the page has done nothing that it must not.
func (p *Page) NothingWrong() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	assert.Empty(p.t, p.wrong)
}
