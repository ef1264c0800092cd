package benchmark

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write README.md's figures anew from reference.json")

// TestReadme: the figures in README.md are those of the recorded benchmark.
func TestReadme(t *testing.T) {
	var record Record
	recorded, err := os.ReadFile("reference.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(recorded, &record))
	byName := make(map[string]Figure, len(record.Figures))
	for _, f := range record.Figures {
		byName[f.Name] = f
	}
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	text := string(readme)
	for name, block := range map[string]string{
		"machine": record.Machine.String() + "\n", "cost": costTable(t, byName), "parts": partsTable(t, byName),
	} {
		pattern := regexp.MustCompile(`(?s)(<!-- begin ` + name + ` -->\n).*?(<!-- end ` + name + ` -->)`)
		require.Regexp(t, pattern, text, name)
		if *update {
			text = pattern.ReplaceAllString(text, "${1}"+block+"${2}")
			continue
		}
		assert.Contains(t, text, block, "README.md is not what reference.json says: run this test with -update")
	}
	if *update {
		require.NoError(t, os.WriteFile("../README.md", []byte(text), 0o644))
	}
}

// cost is a figure in multiples of the yardstick, with the recorded machine's nanoseconds behind it.
func cost(f Figure) string { return fmt.Sprintf("%.1f (%.0f ns)", f.Yardsticks, f.Min) }

// costTable has a line for each path and family, a column for each number of flows.
func costTable(t *testing.T, figures map[string]Figure) string {
	var s strings.Builder
	s.WriteString("| | 1 flow | 4,096 flows | 65,536 flows | new flows |\n|---|---|---|---|---|\n")
	for _, path := range []string{"xdp/forward", "xdp/snat", "xdp/receive", "tc/forward", "tc/snat", "tc/receive", "tc/reply"} {
		for _, family := range []string{"ipv4", "ipv6"} {
			fmt.Fprintf(&s, "| %s, %s |", strings.Replace(path, "/", " ", 1), strings.Replace(family, "ipv", "IPv", 1))
			for _, flows := range []string{"1", "4096", "65536"} {
				name := path + "/established/" + family + "/" + flows
				require.Contains(t, figures, name)
				s.WriteString(" " + cost(figures[name]) + " |")
			}
			if f, ok := figures[fmt.Sprintf("%s/new/%s/%d", path, family, NewTuples)]; ok {
				s.WriteString(" " + cost(f))
			}
			s.WriteString(" |\n")
		}
	}
	return s.String()
}

// partsTable has the cost of each part: the difference to the part before.
func partsTable(t *testing.T, figures map[string]Figure) string {
	var s strings.Builder
	s.WriteString("| part | yardsticks |\n|---|---|\n")
	before := 0.0
	for _, part := range []struct{ name, figure string }{
		{"parse", "xdp/up-to-parse/established/ipv4/1"},
		{"frontend", "xdp/up-to-frontend/established/ipv4/1"},
		{"flow and backend", "xdp/up-to-flow/established/ipv4/1"},
		{"addresses and checksums", "xdp/up-to-checksum/established/ipv4/1"},
		{"encapsulation", "xdp/up-to-encapsulation/established/ipv4/1"},
		{"counters, events, trace", "xdp/forward/established/ipv4/1"},
	} {
		require.Contains(t, figures, part.figure)
		fmt.Fprintf(&s, "| %s | %.1f |\n", part.name, figures[part.figure].Yardsticks-before)
		before = figures[part.figure].Yardsticks
	}
	fmt.Fprintf(&s, "| all | %.1f |\n", before)
	return s.String()
}
