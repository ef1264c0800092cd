package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reliability is what the README quotes of results/reference/reliability-*.json, which the campaigns write.
type reliability struct {
	Campaign string    `json:"campaign"`
	Date     time.Time `json:"date"`
	Machine  struct {
		CPUs     int    `json:"cpus"`
		CPUModel string `json:"cpuModel"`
		Kernel   string `json:"kernel"`
	} `json:"machine"`
	Cases []struct {
		Case   string `json:"case"`
		Tried  int    `json:"tried"`
		Unit   string `json:"unit"`
		Failed int    `json:"failed"`
		Bound  int    `json:"bound"`
		Seen   string `json:"seen"`
		Why    string `json:"why"`
	} `json:"cases"`
	Problems []string `json:"problems"`
}

// reliabilityText is a table of all campaigns that were recorded.
func reliabilityText(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("../../results/reference/reliability-*.json")
	require.NoError(t, err)
	var all []reliability
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var r reliability
		require.NoError(t, json.Unmarshal(data, &r), file)
		all = append(all, r)
	}
	return reliabilityTable(all)
}

func reliabilityTable(all []reliability) string {
	if len(all) == 0 {
		return "No campaign was recorded.\n"
	}
	var b, machines strings.Builder
	b.WriteString("What happens when something breaks:\n\n| what happens | to | failed | may fail | what users see | why |\n|---|---|---|---|---|---|\n")
	for _, r := range all {
		for _, c := range r.Cases {
			fmt.Fprintf(&b, "| %s | %d %s | %d | %d | %s | %s |\n", c.Case, c.Tried, c.Unit, c.Failed, c.Bound, c.Seen, c.Why)
		}
		command := "make test-" + r.Campaign
		if r.Campaign == "soak" {
			command = "make soak"
		}
		fmt.Fprintf(&machines, "- `%s` on %s: %d CPUs (%s) under Linux %s; %s\n",
			command, r.Date.Format("2 January 2006"), r.Machine.CPUs, r.Machine.CPUModel, r.Machine.Kernel, problems(len(r.Problems)))
	}
	return b.String() + "\n" + machines.String()
}

func problems(n int) string {
	if n == 0 {
		return "all as it should be."
	}
	return count(n, "problem") + "."
}

func TestReliabilityTable(t *testing.T) {
	var r reliability
	require.NoError(t, json.Unmarshal([]byte(`{"campaign": "chaos", "date": "2026-11-29T02:00:00Z", "problems": ["x"],
		"machine": {"cpus": 2, "cpuModel": "Imaginary CPU", "kernel": "6.12"},
		"cases": [{"case": "a pod goes", "tried": 40, "unit": "connections", "failed": 10, "bound": 10, "seen": "resets", "why": "its own"}]}`), &r))
	assert.Equal(t, "What happens when something breaks:\n\n| what happens | to | failed | may fail | what users see | why |\n|---|---|---|---|---|---|\n"+
		"| a pod goes | 40 connections | 10 | 10 | resets | its own |\n\n"+
		"- `make test-chaos` on 29 November 2026: 2 CPUs (Imaginary CPU) under Linux 6.12; 1 problem.\n", reliabilityTable([]reliability{r}))
	assert.Equal(t, "No campaign was recorded.\n", reliabilityTable(nil))
}
