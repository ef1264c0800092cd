package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/console"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

var update = flag.Bool("update", false, "write the README's figures anew from the reference runs")

// TestReadme: what README.md quotes is what the reference runs hold.
func TestReadme(t *testing.T) {
	source, throughput := referenceRun(t, "01-source-ip"), referenceRun(t, "02-throughput")
	machine := source.Environment.Before
	blocks := map[string]string{
		"addresses":  "```\n" + evidenceOf(t, source, "kube-proxy", "dsr") + "```\n",
		"throughput": payloadRateTable(throughput),
		"table":      pictureTable(t),
		"machine": fmt.Sprintf("%d CPUs (%s) under Linux %s, %s\n", machine.CPUs, strings.TrimSpace(machine.CPUModel), machine.Kernel,
			machine.Time.Format("2 January 2006")),
		"robustness":  robustnessText(t),
		"reliability": reliabilityText(t),
	}
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	text := string(readme)
	for name, block := range blocks {
		pattern := regexp.MustCompile(`(?s)(<!-- begin ` + name + ` -->\n).*?(<!-- end ` + name + ` -->)`)
		require.Regexp(t, pattern, text, name)
		if *update {
			text = pattern.ReplaceAllStringFunc(text, func(found string) string {
				parts := pattern.FindStringSubmatch(found)
				return parts[1] + block + parts[2]
			})
			continue
		}
		assert.Contains(t, text, block, "README.md is not what the reference runs say: run this test with -update")
	}
	if *update {
		require.NoError(t, os.WriteFile("../../README.md", []byte(text), 0o644))
	}
}

// pictureTable is the table of slides 12 and 21 as the reference run measured it.
func pictureTable(t *testing.T) string {
	t.Helper()
	table, err := results.TableOf(referenceRun(t, tableLab))
	require.NoError(t, err)
	var b strings.Builder
	fmt.Fprintf(&b, "| variant | %s |\n|---|%s\n", strings.Join(table.Columns, " | "), strings.Repeat("---|", len(table.Columns)))
	for _, row := range table.Rows {
		fmt.Fprintf(&b, "| `%s` |", row.Approach)
		for _, column := range table.Columns {
			fmt.Fprintf(&b, " %v |", row.Cells[column])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestLabReadmes: what a lab's README says was measured is what its command printed in the reference run.
func TestLabReadmes(t *testing.T) {
	names, err := labs.Catalogue()
	require.NoError(t, err)
	pattern := regexp.MustCompile(`(?s)(<!-- measured: begin -->\n).*?(<!-- measured: end -->)`)
	for _, name := range names {
		file := "../../labs/" + name + "/README.md"
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		text := string(data)
		require.Regexp(t, pattern, text, "%s: wants the lines <!-- measured: begin --> and <!-- measured: end -->", file)
		for _, section := range []string{"**Question.**", "**Run.**", "**Measured.**", "**Why.**", "**Exercises.**", "sudo bin/dsrlab lab run " + name} {
			assert.Contains(t, text, section, file)
		}
		block := measured(t, referenceRun(t, name))
		if *update {
			text = pattern.ReplaceAllStringFunc(text, func(found string) string {
				parts := pattern.FindStringSubmatch(found)
				return parts[1] + block + parts[2]
			})
			require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
			continue
		}
		assert.Contains(t, text, block, "%s is not what the reference run says: run this test with -update", file)
	}
}

// measured is where a lab's figures come from, and what its command printed in the end.
func measured(t *testing.T, run *results.Run) string {
	t.Helper()
	var b strings.Builder
	m, machine := run.Manifest, run.Environment.Before
	fmt.Fprintf(&b, "Reference run [`%s`](../../results/reference/%s), %v on %d CPUs (%s) under Linux %s. In the end it printed:\n\n```\n",
		m.Run, m.Run, m.Ended.Sub(m.Started).Round(time.Second), machine.CPUs, strings.TrimSpace(machine.CPUModel), machine.Kernel)
	require.NoError(t, console.Verdicts(&b, []results.Summary{results.Summarize(run)}, console.VerdictOptions{}))
	if table, err := results.TableOf(run); err == nil {
		fmt.Fprintf(&b, "```\n\nand `dsrlab results table` shows:\n\n```\n")
		showTable(&b, table)
	}
	b.WriteString("```\n")
	return b.String()
}

// referenceRun is the newest committed run of a lab on namespaces.
func referenceRun(t *testing.T, lab string) *results.Run {
	t.Helper()
	entries, err := os.ReadDir("../../results/reference")
	require.NoError(t, err)
	var newest *results.Run
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), lab) && !strings.Contains(e.Name(), "-"+lab+"-") {
			continue
		}
		run, err := results.Open("../../results/reference/" + e.Name())
		require.NoError(t, err)
		if run.Manifest.On() == string(topologies.SubstrateNetns) {
			newest = run
		}
	}
	require.NotNil(t, newest, "no reference run of %s", lab)
	require.Equal(t, results.Passed, results.Summarize(newest).Result)
	return newest
}

// evidenceOf lists what a run has seen under some variants.
func evidenceOf(t *testing.T, run *results.Run, variants ...string) string {
	t.Helper()
	var s strings.Builder
	for _, event := range run.Events {
		var data struct {
			Variant string `json:"variant"`
		}
		if event.Kind != results.EventEvidence {
			continue
		}
		require.NoError(t, json.Unmarshal(event.Data, &data))
		for _, v := range variants {
			if data.Variant == v {
				fmt.Fprintf(&s, "%-11s%s\n", v, strings.ReplaceAll(event.Message, "  ┃ ", "\n"+strings.Repeat(" ", 12)))
			}
		}
	}
	return s.String()
}

// payloadRateTable has a row for each variant and way of limiting the LB node's port, and what slide 23 says.
func payloadRateTable(run *results.Run) string {
	summary := results.Summarize(run)
	var s strings.Builder
	fmt.Fprintln(&s, "| variant | LB node's port, 100 Mbit/s | payload rate, Mbit/s (median, 95 % interval) | sent again |")
	fmt.Fprintln(&s, "|---|---|---|---|")
	for _, m := range summary.Metrics {
		if m.Metric != "payload_rate" || m.Median == nil || m.Variant == "none" && m.Labels["limit"] != "" {
			continue
		}
		interval := ""
		if m.CI95 != nil {
			interval = fmt.Sprintf(" (%.1f to %.1f)", m.CI95[0]/1e6, m.CI95[1]/1e6)
		}
		again, ok := summary.Find(m.Variant, "retransmitted", m.Labels)
		if !ok || again.Median == nil {
			continue
		}
		fmt.Fprintf(&s, "| `%s` | %s | %.1f%s | %.1f %% |\n", m.Variant, limitOf(m), *m.Median/1e6, interval, 100**again.Median)
	}
	// 5,431 segments of 1,448 bytes of all that was sent for 10.6 Mbit/s in ten seconds.
	const arrived, again = 10.6e6 * 10 / 8, 5431 * 1448
	fmt.Fprintf(&s, "| slide 23, SNAT | not said | 10.6 | %.0f %% |\n", 100*again/(arrived+again))
	fmt.Fprintln(&s, "| slide 24, DSR | not said | 936 | not said |")
	return s.String()
}

// limitOf says how the LB node's port was limited for a metric.
func limitOf(m results.MetricSummary) string {
	switch {
	case m.Variant == "none":
		return "not in the way"
	case m.Labels["burst"] != "":
		return "policed, burst " + m.Labels["burst"]
	case m.Labels["queue"] != "":
		return "shaped, queue " + m.Labels["queue"]
	}
	return "shaped, queue 256kb"
}
