package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
)

// TestRecord records a program that waits for a key between two screens.
func TestRecord(t *testing.T) {
	program := []string{"sh", "-c", `stty -echo; printf 'the <first> screen █'; read -r _; printf '\033[2J\033[H\033[31;1msecond\033[0m'; read -r _`}
	c, err := record(t.Context(), program, 40, 5, []string{"\r", "\r"}, time.Second)
	require.NoError(t, err)

	var out bytes.Buffer
	require.NoError(t, c.write(&out))
	lines := bufio.NewScanner(&out)
	require.True(t, lines.Scan())
	assert.JSONEq(t, `{"version": 2, "width": 40, "height": 5}`, lines.Text())
	text, last := "", 0.0
	for lines.Scan() {
		var e [3]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
		assert.Equal(t, "o", e[1])
		assert.GreaterOrEqual(t, e[0], last)
		text, last = text+e[2].(string), e[0].(float64)
	}
	assert.Regexp(t, `the <first> screen █.*second`, text)

	frames := framesOf(c)
	require.Len(t, frames, 2)
	assert.Contains(t, strings.Join(frames[0].rows, ""), "the &lt;first&gt; screen</text><rect ", "a block is no character")
	assert.Regexp(t, `^<text x="0.0" [^>]* style="fill:#800000" class="b">second</text>\n$`, strings.Join(frames[1].rows, ""))
}

// TestRecordRefused: a program that fails is no recording.
func TestRecordRefused(t *testing.T) {
	_, err := record(t.Context(), []string{"sh", "-c", "exit 3"}, 40, 5, nil, time.Second)
	assert.EqualError(t, err, "exit status 3")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-svg", "x"}, "no command (want one after the flags)"},
		{[]string{"true"}, "nothing to write (want -svg FILE, -cast FILE, or both)"},
		{[]string{"-svg", "x", "-keys", "space blank", "true"}, `-keys: unknown key "blank" (want space, enter, or a character)`},
		{[]string{"-svg", "x", "-columns", "7", "true"}, "a terminal of 7 × 30 (want 20 to 400 columns and 5 to 200 rows)"},
		{[]string{"-svg", "x", "-hold", "1ms", "true"}, "-hold: 1ms is too short to tell that the screen stands still (want 250ms or more)"},
	} {
		assert.EqualError(t, run(t.Context(), test.args), test.want)
	}
}

// TestRecordInterrupted: a command whose recording is interrupted can put away what it has made, as dsrlab its testbed.
func TestRecordInterrupted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := record(ctx, []string{"sh", "-c", `trap 'echo ended >"$0"; exit 1' TERM; echo begun >"$0"; while :; do sleep 0.05; done`, file}, 40, 5, nil, time.Second)
		done <- err
	}()
	state := func() string {
		text, _ := os.ReadFile(file) // it may not be there yet
		return string(text)
	}
	require.Eventually(t, func() bool { return state() == "begun\n" }, time.Minute, 10*time.Millisecond)
	interrupt()
	require.Error(t, <-done)
	assert.Equal(t, "ended\n", state())
}

func TestWholeRunes(t *testing.T) {
	for data, want := range map[string]string{"": "", "a": "a", "aé": "aé", "a\xc3": "a", "█\xe2\x96": "█", "\xf0\x9f\x98": "", "\xff": "\xff"} {
		text, rest := wholeRunes([]byte(data))
		assert.Equal(t, want, text, "%q", data)
		assert.Equal(t, data, text+string(rest), "%q", data)
	}
}

// TestDrawSVG: a picture is the same each time and well-formed, shows what stood still for as long as it did, and stands still itself for those who want that.
func TestDrawSVG(t *testing.T) {
	c := cast{40, 5, "a <title>", []event{{0, "flash"}, {settled / 2, "\rstill"}, {time.Second + settled/2, "\r\x1b[7mother\x1b[0m"}}}
	var first, second bytes.Buffer
	require.NoError(t, drawSVG(&first, c))
	require.NoError(t, drawSVG(&second, c))
	assert.Equal(t, first.String(), second.String())
	require.NoError(t, xml.Unmarshal(first.Bytes(), &struct{}{}))
	svg := first.String()
	assert.NotContains(t, svg, "flash")
	assert.Contains(t, svg, "<title>Recording of a &lt;title&gt;</title>")
	assert.Contains(t, svg, "animation:s 5s step-end infinite", "one second and the four of a last screen")
	assert.Contains(t, svg, "20.000%{transform:translateY(-114px)}")
	assert.Contains(t, svg, "@media (prefers-reduced-motion:reduce){#s{animation:none}}")
	assert.Contains(t, svg, `fill="`+foreground+`"/><text`, "reversed")
	assert.Error(t, drawSVG(&first, cast{Columns: 40, Rows: 5}))
}

// TestREADMERecording: the README's recording is of the reference runs, and needs nothing else.
func TestREADMERecording(t *testing.T) {
	svg, err := os.ReadFile("demo.svg")
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(svg, &struct{}{}))
	for _, lab := range []string{"01-source-ip", "02-throughput"} {
		run, err := results.Store{Reference: results.Reference()}.Find(lab)
		require.NoError(t, err)
		assert.Contains(t, string(svg), "(run "+run.Manifest.Run+")", "make recording renews it")
	}
	for _, foreign := range []string{"<script", "href=", "url(", "@import"} {
		assert.NotContains(t, string(svg), foreign)
	}
	assert.Less(t, len(svg), 128<<10)
}
