package report

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"

	"github.com/dsrlab/dsrlab/results"
)

// deckFiles are the template, style and script of decks, and reveal.js 6.0.2 (MIT, https://revealjs.com): reveal.js and reveal.css are
// those of dist/ in its npm package, unchanged.
//
//go:embed slides.tmpl slides.css slides.js vendor
var deckFiles embed.FS

// deck is what the template of a deck sees.
type deck struct {
	Title string
	// Stacks are the deck's columns: one is shown after the other, and the slides of one lie below each other.
	Stacks [][]slide
}

// slide is one slide; its kind says which of its fields are used.
type slide struct {
	// ID is unique in the deck.
	ID   string
	Kind slideKind
	// Heading is never empty; Part is there if what the slide shows goes on from or on others, as in "2 of 3".
	Heading, Part string
	// Source says in one line of which run the slide is, Place which of all slides it is.
	Source, Place string
	// Notes are for the speaker alone, a paragraph each.
	Notes []string

	Result   results.Result // answer
	Text     string         // title: the question; evidence: the claim
	Size     string         // of the answer: the longer, the smaller
	Answer   []word
	Reasons  []string
	Claims   []claimView // answer
	Picture  pictureView
	Table    *cellTable
	Claim    claimView // evidence
	Rows     []evidenceRow
	Labs     []toldView // overview
	Facts    []fact     // method
	Controls bool       // title: how to move about
}

// slideKind names a slide's layout.
type slideKind string

const (
	titleSlide    slideKind = "title"
	answerSlide   slideKind = "answer"
	tableSlide    slideKind = "table"
	pictureSlide  slideKind = "picture"
	evidenceSlide slideKind = "evidence"
	overviewSlide slideKind = "overview"
	methodSlide   slideKind = "method"
)

// Slides writes the story of a run as a deck of slides for a browser: one file that needs nothing else, with reveal.js in it. Each idea has
// a slide: the question, the answer, each picture, the evidence of each claim, and on what it was measured. The same run gives the same bytes.
func Slides(w io.Writer, run *results.Run, story Story) error {
	v, err := newStoryView(run, story, slideDrawn)
	if err != nil {
		return err
	}
	of := v.slides(source(run.Manifest, false))
	of[0].Controls = true
	d := deck{Title: v.Title}
	for _, s := range of {
		d.Stacks = append(d.Stacks, []slide{s})
	}
	if err := d.write(w); err != nil {
		return fmt.Errorf("write slides of %s: %w", run.Manifest.Run, err)
	}
	return nil
}

// AllSlides writes one deck for the runs of many labs, one run of each: the table of slides 12 and 21, if one of them measured it, with each
// cell linked to its evidence, an overview, and then the slides of each lab below each other. It needs nothing else, as Slides.
func AllSlides(w io.Writer, runs []Told, missing []string) error {
	v, err := newAllView(runs, missing, slideDrawn)
	if err != nil {
		return err
	}
	d := deck{Title: "What the talk claims, and what was measured"}
	d.Stacks = append(d.Stacks, []slide{{
		ID: "start", Kind: titleSlide, Heading: d.Title, Controls: true, Text: "The labs' questions, answers and pictures, from recorded runs.",
		Notes: []string{"Right leads to the next lab, down to its pictures and evidence; Space leads through all slides."},
	}})
	if v.Table != nil {
		d.Stacks = append(d.Stacks, []slide{tableOf("table", v.Table)})
	}
	for _, s := range overview(v) {
		d.Stacks = append(d.Stacks, []slide{s})
	}
	for i, told := range v.Runs {
		d.Stacks = append(d.Stacks, told.slides(source(told.Run.Manifest, runs[i].Reference)))
	}
	if err := d.write(w); err != nil {
		return fmt.Errorf("write slides of all labs: %w", err)
	}
	return nil
}

// write numbers the slides and renders the deck.
func (d deck) write(w io.Writer) error {
	number, all := 0, 0
	for _, stack := range d.Stacks {
		all += len(stack)
	}
	for _, stack := range d.Stacks {
		for i := range stack {
			number++
			stack[i].Place = fmt.Sprintf("%d / %d", number, all)
		}
	}
	files := map[string]string{}
	for _, name := range []string{"slides.css", "slides.js", "vendor/reveal.css", "vendor/reveal.js", "vendor/reveal.LICENSE"} {
		data, err := deckFiles.ReadFile(name)
		if err != nil {
			return err
		}
		files[name] = string(data)
	}
	t, err := template.New("slides.tmpl").Funcs(template.FuncMap{
		"anchor": anchor,
		"licence": func() template.HTML {
			return template.HTML("<!-- reveal.js\n" + files["vendor/reveal.LICENSE"] + "-->")
		},
		"policy": func() string { return policy(files["vendor/reveal.js"], files["slides.js"]) },
		"reveal": func() template.JS { return template.JS(files["vendor/reveal.js"]) },
		"script": func() template.JS { return template.JS(files["slides.js"]) },
		"style": func() template.CSS {
			return template.CSS(files["vendor/reveal.css"] + themeStyle() + files["slides.css"])
		},
	}).ParseFS(deckFiles, "slides.tmpl")
	if err != nil {
		return fmt.Errorf("parse template of slides: %w", err)
	}
	return t.Execute(w, d)
}

// policy is the Content-Security-Policy of a deck: nothing is loaded, and no scripts run but these.
func policy(scripts ...string) string {
	policy := "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src"
	for _, script := range scripts {
		sum := sha256.Sum256([]byte(script))
		policy += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return policy
}

// source says in one line of which run a slide is.
func source(m results.Manifest, reference bool) string {
	kind := "Run "
	if reference {
		kind = "Reference run "
	}
	return kind + m.Run + " on " + m.On()
}
