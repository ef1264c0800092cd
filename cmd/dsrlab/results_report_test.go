package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

// TestReportAll: one page has every lab, of each the latest run that came to its end, and the table, whose cells lead to their evidence.
func TestReportAll(t *testing.T) {
	dir := t.TempDir()
	resultstest.Run(t, dir, resultstest.Options{Run: "whole", Start: hour(1), Seed: 1})
	resultstest.Run(t, dir, resultstest.Options{Run: "cut-short", Start: hour(2), Seed: 2, Interrupted: true})
	resultstest.Run(t, dir, resultstest.Options{Run: "running", Start: hour(3), Seed: 3, LeaveOpen: true})
	resultstest.Run(t, dir, resultstest.Options{Run: "broken", Start: hour(4), Seed: 4, Fault: "pass-unknown"})
	names, err := labs.Catalogue()
	require.NoError(t, err)

	page, stderr, code := runResults(t, "report", "--all", "--format", "html", "--runs", dir)
	require.Equal(t, exitOK, code, stderr)
	again, _, _ := runResults(t, "report", "--all", "--format", "html", "--runs", dir)
	assert.Equal(t, page, again, "the same runs give the same page")
	assert.Less(t, len(page), 5_000_000)
	for _, name := range names {
		assert.Equal(t, 1, strings.Count(page, `<section id="`+name+`">`), name)
	}
	assert.Contains(t, page, "Run whole on netns")
	for _, other := range []string{"cut-short", "running", "broken"} {
		assert.NotContains(t, page, "Run "+other)
	}
	assert.Regexp(t, `<th scope="row">dsr</th>(<td class="yes"><a href="#07-full-picture-dsr-[a-z-]+">yes</a></td>){5}</tr>`, page)
	links := regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1)
	assert.Greater(t, len(links), 25)
	for _, link := range links {
		require.True(t, strings.HasPrefix(link[1], "#"), "%s is of another page", link[1])
		assert.Equal(t, 1, strings.Count(page, ` id="`+link[1][1:]+`"`), "where %s leads to", link[1])
	}
	for _, foreign := range []string{"<script", "src=", "@import", "url("} {
		assert.NotContains(t, page, foreign)
	}

	text, _, code := runResults(t, "report", "--all", "--runs", dir)
	require.Equal(t, exitOK, code)
	links = regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(text, -1)
	assert.Greater(t, len(links), 25)
	for _, link := range links {
		assert.Equal(t, 1, strings.Count(text, `<a id="`+link[1]+`">`), "where %s leads to", link[1])
	}
}

// TestReportTellsStory: a report begins with the lab's question, its answer with figures, and what proves it; what a claim rests on is a
// table with units, not the sentences of metric names that runs record.
func TestReportTellsStory(t *testing.T) {
	names, err := labs.Catalogue()
	require.NoError(t, err)
	t.Chdir(t.TempDir()) // without runs but the reference runs
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			lab, err := labs.Lookup(name)
			require.NoError(t, err)
			page, stderr, code := runResults(t, "report", name, "--format", "html")
			require.Equal(t, exitOK, code, stderr)
			assert.Less(t, len(page), 5_000_000)
			at := -1
			for _, part := range []string{`<p class="question">`, `<p class="answer">`, "<h2>Evidence</h2>", "<h2>Details</h2>"} {
				assert.Greater(t, strings.Index(page, part), at, part)
				at = strings.Index(page, part)
			}
			shown, _, _ := strings.Cut(page, "<h2>Evidence</h2>")
			assert.Regexp(t, `<figure( class="walk")?>|<table class="cells">`, shown, "what proves the answer")

			text, _, code := runResults(t, "report", name)
			require.Equal(t, exitOK, code)
			told, _, _ := strings.Cut(text, "\n## Details\n")
			assert.Contains(t, told, lab.Spec.Question)
			for _, e := range lab.Spec.Expectations {
				if strings.Contains(e.Metric, "_") {
					assert.NotContains(t, told, strings.ReplaceAll(e.Metric, "_", `\_`)+" ", "the name of a metric is no word")
				}
			}
		})
	}
}

// TestReportShowsWalks: reports of runs with captures draw the way of a request and its reply, and of a reply under DSR say that it does not
// pass the LB node.
func TestReportShowsWalks(t *testing.T) {
	t.Chdir(t.TempDir()) // without runs but the reference runs
	svg, stderr, code := runResults(t, "report", "06-dsr-packet-walk", "--format", "svg", "--chart", "walk-dsr")
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, svg, "<title>One request and its reply: dsr</title>")
	assert.Contains(t, svg, ">not at node-a</text>")

	text, stderr, code := runResults(t, "report", "01-source-ip")
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `: dsr\*\n(.*\n)*\| 3 \| node-b → client, not at node-a \| reply, SYN-ACK \| 185\.150\.8\.128:8080 → 1\.2\.3\.4:\d+ \|`, text)
	assert.Regexp(t, `: kube-proxy\*\n(.*\n)*\| 4 \| node-a → client \| reply, SYN-ACK \| 185\.150\.8\.128:8080 → 1\.2\.3\.4:\d+ \|`, text)

	page, stderr, code := runResults(t, "report", "--all", "--format", "html")
	require.Equal(t, exitOK, code, stderr)
	assert.GreaterOrEqual(t, strings.Count(page, `<figure class="walk">`), 6, "five of lab 01, one of lab 06")
	assert.Less(t, len(page), 5_000_000)
}
