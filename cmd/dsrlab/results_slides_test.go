package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
)

// referenceRuns are the names of all recorded runs, those of labs that were recorded again among them.
func referenceRuns(t *testing.T) []string {
	t.Helper()
	entries, err := results.Store{Reference: results.Reference()}.List()
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Run.Manifest.Run)
	}
	return names
}

// needsNothing checks that a deck loads nothing, and that its links lead to its own elements.
func needsNothing(t *testing.T, deck string) {
	t.Helper()
	assert.Less(t, len(deck), 5_000_000)
	// What reveal.js can load if a slide asks for it is in its script; the policy forbids it, and a test in a browser looks.
	page := regexp.MustCompile(`(?s)<script>.*?</script>`).ReplaceAllString(deck, "")
	for _, attribute := range regexp.MustCompile(`(?i)\s(?:src|srcset|href|xlink:href|data|action|poster)\s*=\s*["']?([^"'\s>]*)`).FindAllStringSubmatch(page, -1) {
		id, inside := strings.CutPrefix(attribute[1], "#/")
		assert.True(t, inside, "%s leads elsewhere", attribute[0])
		assert.Equal(t, 1, strings.Count(page, ` id="`+id+`"`), "where %s leads to", attribute[0])
	}
	for _, url := range regexp.MustCompile(`(?i)url\(\s*["']?([^)]{0,40})`).FindAllStringSubmatch(page, -1) {
		assert.True(t, strings.HasPrefix(url[1], "data:"), url[0])
	}
	assert.Empty(t, regexp.MustCompile(`@import|textLength="[^>]*textLength=`).FindAllString(page, 1))
	ids := map[string]int{}
	for _, id := range regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		ids[id[1]]++
	}
	for id, n := range ids {
		assert.Equal(t, 1, n, "id %s", id)
	}
}

// TestSlidesOfReferenceRuns: each recorded run has a deck with the lab's question, an answer with a figure, and a picture or the table.
func TestSlidesOfReferenceRuns(t *testing.T) {
	names := referenceRuns(t)
	t.Chdir(t.TempDir()) // without runs but the reference runs
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			deck, stderr, code := runResults(t, "report", name, "--format", "slides")
			require.Equal(t, exitOK, code, stderr)
			needsNothing(t, deck)
			again, _, _ := runResults(t, "report", name, "--format", "slides")
			assert.True(t, deck == again, "the same run gives the same deck")
			at := -1
			for _, part := range []string{`<p class="question">`, `<p class="answer `, `<table class="evidence">`, `<dl class="facts">`} {
				assert.Greater(t, strings.Index(deck, part), at, part)
				at = strings.Index(deck, part)
			}
			assert.Regexp(t, `<div class="figure"><svg role="img"|<table class="cells">`, deck, "what proves the answer")
			assert.Regexp(t, `<p class="answer [a-z]+">.*(<strong>[0-9]|<span class="badge|DSR alone keeps all five)`, deck)
		})
	}
}

// TestSlidesOfAllLabs: one deck has every lab, and the table, whose cells lead to their evidence.
func TestSlidesOfAllLabs(t *testing.T) {
	t.Chdir(t.TempDir())
	deck, stderr, code := runResults(t, "report", "--all", "--format", "slides")
	require.Equal(t, exitOK, code, stderr)
	needsNothing(t, deck)
	page, _, _ := runResults(t, "report", "--all", "--format", "html")
	for _, lab := range regexp.MustCompile(`<section id="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		assert.Equal(t, 1, strings.Count(deck, "<section>\n<section id=\""+lab[1]+`"`), lab[1])
	}
	assert.Regexp(t, `<th scope="row">dsr</th>(<td class="yes"><a href="#/07-full-picture-dsr-[a-z-]+">yes</a></td>){5}</tr>`, deck)
}
