// Package browsertest looks at pages in headless Chromium: as wide and as light as people have them, and with axe-core, which finds what
// keeps people from using them.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	cdp "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// New starts a browser, and returns its context. The test is skipped where there is none.
func New(t testing.TB) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(find(t)), chromedp.NoSandbox, chromedp.WindowSize(1280, 720))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	started := make(chan error)
	go func() {
		// The browser is killed when the thread ends that has started it (Pdeathsig), and threads end that were in another namespace.
		runtime.LockOSThread()
		started <- chromedp.Run(ctx)
		<-ctx.Done()
	}()
	require.NoError(t, <-started)
	return ctx
}

func find(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("needs Chromium: the page was NOT TESTED (apt-get install chromium)")
	return ""
}

// View is how somebody views a page.
type View struct {
	Width, Height int64
	Dark          bool
}

// String is as a file's name: 390x844-dark.
func (v View) String() string {
	theme := "light"
	if v.Dark {
		theme = "dark"
	}
	return fmt.Sprintf("%dx%d-%s", v.Width, v.Height, theme)
}

// Views are a phone, a notebook and a projector, light and dark.
func Views() (all []View) {
	for _, dark := range []bool{false, true} {
		for _, size := range [][2]int64{{390, 844}, {1280, 720}, {1920, 1080}} {
			all = append(all, View{Width: size[0], Height: size[1], Dark: dark})
		}
	}
	return all
}

// Set makes a page appear so, and without motion.
func (v View) Set() chromedp.Action {
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	return chromedp.Tasks{
		chromedp.EmulateViewport(v.Width, v.Height),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}),
	}
}

// axeVariable names the file of axe-core, which `make axe` fetches: it is no part of this repository.
const axeVariable = "AXE_CORE"

// violation is what axe-core has found.
type violation struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// Axe checks the page that a browser shows with axe-core, all of its rules. The test is skipped where axe-core was not fetched.
func Axe(ctx context.Context, t testing.TB, name string) {
	t.Helper()
	file := os.Getenv(axeVariable)
	source, err := os.ReadFile(file)
	if file == "" || os.IsNotExist(err) {
		t.Skipf("needs axe-core (%s): accessibility was NOT TESTED (make axe)", axeVariable)
	}
	require.NoError(t, err)
	var found struct {
		Violations []violation `json:"violations"`
		Passes     int         `json:"passes"`
	}
	const run = `axe.run(document).then((r) => ({ violations: r.violations, passes: r.passes.length }))`
	var loaded bool // by an earlier call, and the page is the same
	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`'axe' in window`, &loaded)))
	if !loaded {
		require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(string(source)+"\n;0", nil)))
	}
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Evaluate(run, &found, func(p *cdp.EvaluateParams) *cdp.EvaluateParams { return p.WithAwaitPromise(true) }),
	))
	assert.NotZero(t, found.Passes, "%s: axe-core has checked nothing", name)
	for _, v := range found.Violations {
		var where strings.Builder
		for _, n := range v.Nodes {
			fmt.Fprintf(&where, "\n%s\n%s\n", n.HTML, n.Summary)
		}
		assert.Fail(t, fmt.Sprintf("%s: %s: %s", name, v.ID, v.Help), "%s", where.String())
	}
}
