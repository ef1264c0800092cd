package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/internal/browsertest"
)

// notebook is what most tests look at decks with: slides have its size.
var notebook = browsertest.View{Width: 1280, Height: 720}

// deck is one in headless Chromium.
type deck struct {
	*browsertest.Page
	path string
}

// startChromium starts the browser; tabs are made in its context.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	ctx := browsertest.New(t)
	require.NoError(t, chromedp.Run(ctx))
	return ctx
}

// openDeck writes the deck that the arguments make and opens the file, without the network, as a speaker does.
func openDeck(t *testing.T, chromium context.Context, view browsertest.View, args ...string) deck {
	t.Helper()
	path := filepath.Join(t.TempDir(), "deck.html")
	_, stderr, code := runResults(t, append(append([]string{"report"}, args...), "--format", "slides", "--write", path)...)
	require.Equal(t, exitOK, code, stderr)
	ctx, cancel := chromedp.NewContext(chromium)
	t.Cleanup(cancel)
	b := deck{browsertest.Watch(ctx, t, "file://"+path), path}
	b.Run(view.Set(), chromedp.Navigate("file://"+path))
	b.Wait("the deck", "window.Reveal && Reveal.isReady()")
	return b
}

// tooLarge names, for each slide of the deck, what does not fit: its content higher or wider than it, or beyond its edges.
const tooLarge = `Reveal.getSlides().flatMap((section) => {
	const at = Reveal.getIndices(section);
	Reveal.slide(at.h, at.v);
	const slide = section.querySelector('.sheet'), body = slide.querySelector('.body'), edge = slide.getBoundingClientRect();
	const found = [];
	if (edge.width !== 1280 || edge.height !== 720 || edge.left !== 0 || edge.top !== 0) {
		found.push('lies at ' + [edge.left, edge.top, edge.width, edge.height]);
	}
	for (const of of [slide, body]) {
		if (of.scrollHeight > of.clientHeight || of.scrollWidth > of.clientWidth) {
			found.push(of.className + ' has ' + of.scrollWidth + '×' + of.scrollHeight + ' in ' + of.clientWidth + '×' + of.clientHeight);
		}
	}
	for (const element of slide.querySelectorAll('*')) {
		const r = element.getBoundingClientRect();
		if (!element.closest('svg g') && (r.right > edge.right + 0.5 || r.bottom > edge.bottom + 0.5 || r.left < edge.left - 0.5 || r.top < edge.top - 0.5)) {
			found.push(element.tagName + ' is beyond the edge');
		}
	}
	const svg = slide.querySelector('.figure svg');
	if (svg && svg.getBoundingClientRect().height < 250) found.push('the picture is ' + svg.getBoundingClientRect().height + ' high');
	for (const text of slide.querySelectorAll('.figure svg text')) {
		const r = text.getBoundingClientRect(), all = svg.getBoundingClientRect(), wide = Number(text.getAttribute('textLength')) * text.getScreenCTM().a;
		if (r.right > all.right + 1 || r.left < all.left - 1 || r.bottom > all.bottom + 1 || r.top < all.top - 1) found.push(text.textContent + ' is cut');
		if (wide && r.width > wide + 4) found.push(text.textContent + ' is wider than its place');
	}
	return found.map((what) => section.id + ': ' + what);
})`

// TestSlidesFit: on each slide of each recorded run all content is on the slide, and no deck asks for anything but itself.
func TestSlidesFit(t *testing.T) {
	chromium := startChromium(t)
	names := append(referenceRuns(t), "--all")
	t.Chdir(t.TempDir()) // without runs but the reference runs
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			b := openDeck(t, chromium, notebook, name)
			var found []string
			b.Run(chromedp.Evaluate(tooLarge, &found))
			assert.Empty(t, found)
			b.NothingWrong()
		})
	}
}

// TestSlidesAreShown uses a deck as a speaker does: keys, the window with the notes, light and dark.
func TestSlidesAreShown(t *testing.T) {
	chromium := startChromium(t)
	t.Chdir(t.TempDir())
	b := openDeck(t, chromium, browsertest.View{Width: 1280, Height: 720, Dark: true}, "02-throughput")
	const shown = `Reveal.getCurrentSlide().id === `
	const background = `getComputedStyle(document.querySelector('.present .sheet')).backgroundColor === `
	b.Wait("the first slide", shown+`'02-throughput'`)
	b.Wait("no motion", `Reveal.getConfig().transition === 'none' && getComputedStyle(Reveal.getCurrentSlide()).transitionDuration === '0s'`)
	b.Wait("dark", background+`'rgb(22, 25, 29)'`)
	b.Run(chromedp.KeyEvent(kb.ArrowRight))
	b.Wait("the second slide", shown+`'02-throughput-answer'`)
	b.Run(chromedp.KeyEvent("t"))
	b.Wait("light", background+`'rgb(255, 255, 255)'`)

	opened := chromedp.WaitNewTarget(b.Context, func(*target.Info) bool { return true })
	b.Run(chromedp.KeyEvent("s"))
	ctx, cancel := chromedp.NewContext(b.Context, chromedp.WithTargetID(<-opened))
	defer cancel()
	speaker := browsertest.Watch(ctx, t, "file://"+b.path)
	speaker.Wait("the notes", `document.querySelector('.now').textContent.includes('THR-1 (slide 23), reproduced')`)
	speaker.Wait("the next slide", `document.querySelector('.next svg') && getComputedStyle(document.body).gridTemplateColumns`)
	b.Run(chromedp.KeyEvent(" "))
	b.Wait("the third slide", shown+`'02-throughput-picture-1'`)
	speaker.Wait("its notes", `document.querySelector('.now').textContent.includes('Bars: median.')`)
	b.Run(chromedp.KeyEvent(kb.End))
	b.Wait("the last slide", shown+`'02-throughput-method'`)
	speaker.Wait("no next slide", `!document.querySelector('.next svg') && document.querySelector('.place').textContent.includes('Method and machine')`)
	b.Run(chromedp.KeyEvent(kb.ArrowLeft))
	b.Wait("the slide before", shown+`Reveal.getSlides().at(-2).id`)
	b.NothingWrong()
}

// TestSlidesAreAccessible checks each slide of some decks with axe-core, light and dark.
func TestSlidesAreAccessible(t *testing.T) {
	chromium := startChromium(t)
	t.Chdir(t.TempDir())
	for _, lab := range []string{"06-dsr-packet-walk", "07-full-picture"} {
		for _, dark := range []bool{false, true} {
			view := browsertest.View{Width: 1280, Height: 720, Dark: dark}
			b := openDeck(t, chromium, view, lab)
			var slides int
			b.Run(chromedp.Evaluate(`Reveal.getSlides().length`, &slides))
			for i := range slides {
				b.Run(chromedp.Evaluate(fmt.Sprintf(`Reveal.slide(%d)`, i), nil))
				browsertest.Axe(b.Context, t, fmt.Sprintf("%s, slide %d, %s", lab, i+1, view))
			}
		}
	}
}

// TestSlidesOfAllLabsAreLinked follows the link of a cell of the table to its evidence, and goes from lab to lab.
func TestSlidesOfAllLabsAreLinked(t *testing.T) {
	chromium := startChromium(t)
	t.Chdir(t.TempDir())
	b := openDeck(t, chromium, notebook, "--all")
	b.Run(chromedp.KeyEvent(kb.ArrowRight))
	b.Wait("the table", `Reveal.getCurrentSlide().id === 'table'`)
	b.Run(chromedp.Evaluate(`document.querySelector('.present a[href="#/07-full-picture-dsr-udp"]').click()`, nil))
	b.Wait("the evidence", `Reveal.getCurrentSlide().querySelector('tr[id="07-full-picture-dsr-udp"]')`)
	b.Run(chromedp.KeyEvent(kb.ArrowRight))
	b.Wait("the next lab", `Reveal.getCurrentSlide().id === '08-oversubscription'`)
	b.Run(chromedp.KeyEvent(kb.ArrowDown))
	b.Wait("its answer", `Reveal.getCurrentSlide().id === '08-oversubscription-answer'`)
	b.NothingWrong()
}

// TestSlidesPrint: what is printed has one page for each slide, with reveal.js's own way to print and without.
func TestSlidesPrint(t *testing.T) {
	chromium := startChromium(t)
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"02-throughput"}, {"--all"}} {
		b := openDeck(t, chromium, notebook, args...)
		var slides int
		b.Run(emulation.SetEmulatedMedia(), // with motion, as most people print
			chromedp.Evaluate(`Reveal.getSlides().length`, &slides))
		for _, query := range []string{"", "?view=print"} {
			b.Run(chromedp.Navigate("file://" + b.path + query))
			b.Wait("the deck", fmt.Sprintf("window.Reveal && Reveal.isReady() && (!location.search || document.querySelectorAll('.pdf-page section').length === %d)", slides))
			var pdf []byte
			b.Run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
				pdf, _, err = page.PrintToPDF().WithPreferCSSPageSize(true).WithPrintBackground(true).Do(ctx)
				return err
			}))
			assert.Equal(t, slides, len(regexp.MustCompile(`/Type\s*/Page\b[^s]`).FindAll(pdf, -1)), "pages of %s%s", args[0], query)
			assert.Regexp(t, `/MediaBox \[0 0 960(\.\d+)? 540(\.\d+)?\]`, string(regexp.MustCompile(`/MediaBox \[[^]]*\]`).Find(pdf)))
		}
		b.NothingWrong()
	}
}
