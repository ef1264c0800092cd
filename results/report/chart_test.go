package report

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
)

func reference(t *testing.T, lab string) *results.Run {
	t.Helper()
	run, err := results.Store{Reference: results.Reference()}.Find(lab)
	require.NoError(t, err)
	return run
}

func chartOf(t *testing.T, lab, name string) Chart {
	t.Helper()
	charts := Charts(reference(t, lab))
	i := slices.IndexFunc(charts, func(c Chart) bool { return c.Name == name })
	require.GreaterOrEqual(t, i, 0, "no chart %s", name)
	return charts[i]
}

// TestColourOfDataPath: a data path has one colour, mark and line in all labs, whatever its place among the variants.
func TestColourOfDataPath(t *testing.T) {
	entries, err := results.Store{Reference: results.Reference()}.List()
	require.NoError(t, err)
	for _, entry := range entries {
		for _, variant := range entry.Run.Manifest.Variants {
			assert.NotEqual(t, pathOther, pathOf(variant), "%s of %s", variant, entry.Name)
		}
	}
	for _, theme := range []Theme{Light, Dark, page} {
		p := theme.palette()
		require.Len(t, p.variants, int(dataPaths))
		for i, c := range p.variants {
			assert.Equal(t, i, slices.Index(p.variants, c), "two data paths have one colour")
		}
	}
	dsr, snat := pathOf("dsr"), pathOf("snat")
	assert.NotEqual(t, dsr.glyph(), snat.glyph(), "told apart without colour")
	assert.NotEqual(t, dsr.dashes(0), snat.dashes(0))
	assert.NotEqual(t, dsr.dashes(0), dsr.dashes(1), "and so are two lines of one path")
}

func TestAxis(t *testing.T) {
	assert.False(t, chartOf(t, "08-oversubscription", "payload_rate-by-pods").xLog, "a straight line must look straight")
	assert.True(t, chartOf(t, "02-throughput", "payload_rate-by-burst").xLog, "sizes from 3 kB to 1 MB have room on a logarithmic axis only")
}

// TestIntervalsOfFewSamples: what rests on two or three samples has no whiskers, and the caption says so.
func TestIntervalsOfFewSamples(t *testing.T) {
	for _, lab := range []string{"02-throughput", "08-oversubscription", "12-when-snat-is-fine"} {
		for _, c := range Charts(reference(t, lab)) {
			points := slices.Clone(c.bars)
			for _, l := range c.lines {
				points = append(points, l.points...)
			}
			for _, p := range points {
				assert.Equal(t, len(p.values) >= firm, p.ci != nil, "%s %s %s", lab, c.Name, p.variant)
			}
		}
	}
	assert.Contains(t, chartOf(t, "08-oversubscription", "payload_rate-by-pods").Caption, "No intervals: no median rests on 4 samples or more.")
}

// TestTwoPointsAreNotJoined counts the lines that are drawn: those with three points or more, and no other.
func TestTwoPointsAreNotJoined(t *testing.T) {
	c := chartOf(t, "08-oversubscription", "payload_rate-by-pods")
	long, short := 0, 0
	for _, l := range c.lines {
		if len(l.points) < joined {
			short++
		} else {
			long++
		}
	}
	require.Positive(t, short)
	data, err := c.svg(Light)
	require.NoError(t, err)
	thick := strings.Count(string(data), "stroke-width:2\"") + strings.Count(string(data), "stroke-width:2;")
	assert.Equal(t, 2*long, thick, "each line, and its like in the legend")
}

// TestTableInReport: the lab that measures the table of the slides shows it, once, as words.
func TestTableInReport(t *testing.T) {
	run := reference(t, "07-full-picture")
	var page, text bytes.Buffer
	require.NoError(t, HTML(&page, run, Story{}))
	require.NoError(t, Markdown(&text, run, Story{}))
	assert.Regexp(t, `<th scope="row">dsr</th>(<td class="yes"><a href="#07-full-picture-dsr-[a-z-]+">yes</a></td>){5}</tr>`, page.String())
	for _, link := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page.String(), -1) {
		assert.Equal(t, 1, strings.Count(page.String(), ` id="`+link[1]+`"`), "where %s leads to", link[1])
	}
	assert.Regexp(t, `\| Approach \|.*\|\n\|---\|[-|]+\n\| kube-proxy \|`, text.String())
	for _, c := range Charts(run) {
		assert.NotContains(t, c.Name, "cell")
	}
	var other bytes.Buffer
	require.NoError(t, Markdown(&other, reference(t, "02-throughput"), Story{}))
	assert.NotContains(t, other.String(), "| Approach |")
}
