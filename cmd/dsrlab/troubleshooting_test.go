package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/kube"
	"github.com/dsrlab/dsrlab/dataplane/metrics"
)

// metricNames are those that a node shows to Prometheus.
func metricNames(t *testing.T) []string {
	t.Helper()
	names, err := dataplane.LoadNames()
	require.NoError(t, err)
	descriptions := make(chan *prometheus.Desc, 100)
	metrics.New(nil, names, nil).Describe(descriptions)
	for _, c := range new(kube.Agent).Collectors() {
		c.Describe(descriptions)
	}
	close(descriptions)
	var all []string
	for d := range descriptions {
		all = append(all, regexp.MustCompile(`dsrlab_[a-z_]+`).FindString(d.String()))
	}
	return all
}

// Every counter, reason and command that TROUBLESHOOTING.md names exists, and every symptom leads to one.
func TestTroubleshooting(t *testing.T) {
	data, err := os.ReadFile("../../TROUBLESHOOTING.md")
	require.NoError(t, err)
	text := string(data)
	known := metricNames(t)
	for _, name := range regexp.MustCompile(`dsrlab_[a-z_]+`).FindAllString(text, -1) {
		assert.Contains(t, known, name)
	}
	reasons := reasonNames()
	require.NotEmpty(t, reasons)
	for _, found := range regexp.MustCompile(`reason="([a-z-]+)"`).FindAllStringSubmatch(text, -1) {
		assert.Contains(t, reasons, found[1])
	}
	// A name in backticks of two words with a dash, or one that stands for a count, is a reason.
	others := []string{"snat", "hybrid", "up", "dsrd", "tar.gz"}
	for _, found := range regexp.MustCompile("`([a-z]+(?:-[a-z]+)*)`").FindAllStringSubmatch(text, -1) {
		if !slices.Contains(others, found[1]) {
			assert.Contains(t, reasons, found[1])
		}
	}
	root := newRootCommand(streams{})
	for _, found := range regexp.MustCompile(`dsrlab ([a-z-]+(?: [a-z]+)?)`).FindAllStringSubmatch(text, -1) {
		cmd, _, err := root.Find(strings.Fields(found[1]))
		require.NoError(t, err, found[0])
		assert.NotEqual(t, root, cmd, found[0])
	}
	for _, section := range strings.Split(text, "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		assert.Regexp(t, "`[a-z]+-[a-z-]+`|dsrlab |dsrlab_", body, title)
	}
}
