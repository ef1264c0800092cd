package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/report"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

// slidesOf renders the deck of a run, without its scripts and styles.
func slidesOf(t *testing.T, run *results.Run, story report.Story) (whole, body string) {
	t.Helper()
	var page, again bytes.Buffer
	require.NoError(t, report.Slides(&page, run, story))
	require.NoError(t, report.Slides(&again, run, story))
	require.Equal(t, page.String(), again.String(), "the same run gives the same deck")
	_, body, found := strings.Cut(page.String(), "<body>")
	require.True(t, found)
	body, _, _ = strings.Cut(body, "<script>")
	return page.String(), body
}

// ids are those of the deck's slides, in their order.
func ids(body string) []string {
	var all []string
	for _, id := range regexp.MustCompile(`<section id="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		all = append(all, id[1])
	}
	return all
}

// has and hasNot look for a part without printing a whole deck.
func has(t *testing.T, deck, part string) {
	t.Helper()
	assert.True(t, strings.Contains(deck, part), "the deck lacks %s", part)
}

func hasNot(t *testing.T, deck, part string) {
	t.Helper()
	assert.False(t, strings.Contains(deck, part), "the deck has %s", part)
}

func TestSlidesTellStory(t *testing.T) {
	page, body := slidesOf(t, fabricate(t, resultstest.Options{Seed: 1}), told())
	assert.Equal(t, []string{
		"02-throughput", "02-throughput-answer", "02-throughput-picture-1", "02-throughput-picture-2",
		"02-throughput-evidence-1-1", "02-throughput-evidence-2-1", "02-throughput-evidence-3-1", "02-throughput-method",
	}, ids(body))
	has(t, page, "<title>A lab made up by a test</title>")
	for _, part := range []string{
		"<h1>A lab made up by a test</h1>", `<p class="question">How fast is it?</p>`,
		`<p class="answer large">As fast as <strong>938.8 Mbit/s</strong>.</p>`, `<span class="badge reproduced">`,
		"<title>Download (Mbit/s)</title>", `<svg role="img"`, "In figures: none 941.9;", `<span class="place">8 / 8</span>`, "dsr-full: ",
	} {
		has(t, body, part)
	}
	assert.Equal(t, len(ids(body)), strings.Count(body, `<aside class="notes">`), "each slide has notes")
	assert.Equal(t, strings.Count(body, "<text "), strings.Count(body, "textLength="), "no text depends on the fonts of the speaker's machine")
	hasNot(t, body, "<section>\n<section")
}

func TestSlidesOfRunThatDidNotPass(t *testing.T) {
	for name, o := range map[string]resultstest.Options{
		"failed":   {Seed: 1, Break: "dsr-full", Skip: "snat-collapses", AllInvalid: true},
		"untested": {Seed: 1, Skip: "dsr-full"},
	} {
		_, body := slidesOf(t, fabricate(t, o), told())
		has(t, body, `<h2>Answer <span class="badge `+name+`">`+name+`</span>`)
		has(t, body, `<ul class="reasons">`)
		hasNot(t, body, "As fast as")
	}
}

// TestSlidesNeedNothingElse: a deck loads nothing, its policy allows its own scripts alone, and what a lab or a run says is no markup.
func TestSlidesNeedNothingElse(t *testing.T) {
	const hostile = `</title></script><script>alert(1)</script><img src="https://example.com/x">"onload='x`
	story := told()
	story.Title, story.Question, story.Answer = hostile, hostile, hostile
	story.Pictures[0].Title, story.Pictures[0].Marks[0].Text = hostile, hostile
	page, body := slidesOf(t, fabricate(t, resultstest.Options{Seed: 1, Run: "hostile"}), story)
	hasNot(t, body, "<img")
	hasNot(t, body, "<script")
	has(t, body, "<h1>&lt;/title&gt;&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=&#34;https://example.com/x&#34;&gt;&#34;onload=&#39;x</h1>")
	assert.Empty(t, regexp.MustCompile(`(?i)<[a-z]+ [^>]*\b(src|href|onload|style)=["'](https?:|//|x)`).FindAllString(body, -1))
	assert.Equal(t, 1, strings.Count(page, "</title>\n<!--"), "the head's title ends once")

	scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(page, -1)
	require.Len(t, scripts, 2, "reveal.js and the deck's own")
	assert.Contains(t, scripts[0][1], "https://revealjs.com\n * MIT licensed")
	policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)
	require.NotNil(t, policy)
	want := "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src"
	for _, script := range scripts {
		sum := sha256.Sum256([]byte(script[1]))
		want += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	assert.Equal(t, want, strings.NewReplacer("&#39;", "'", "&#43;", "+").Replace(policy[1]))
	has(t, page, "Permission is hereby granted, free of charge")
}

func TestAllSlides(t *testing.T) {
	first := fabricate(t, resultstest.Options{Seed: 1, Run: "first"})
	var page bytes.Buffer
	require.NoError(t, report.AllSlides(&page, []report.Told{{Run: first, Story: told()}, {Run: first, Story: told(), Reference: true}}, []string{"99-missing"}))
	_, body, _ := strings.Cut(page.String(), "<body>")
	body, _, _ = strings.Cut(body, "<script>")
	assert.Equal(t, []string{"start", "labs-1", "02-throughput"}, ids(body)[:3])
	assert.Equal(t, 2, strings.Count(body, "<section>\n<section"), "each lab's slides lie below each other")
	has(t, body, "No run came to its end of 99-missing.")
	has(t, body, "Reference run first on netns")
}
