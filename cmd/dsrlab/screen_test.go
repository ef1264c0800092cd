package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
)

// screenLab is a lab that is short, and tells evidence in its last trials, too. Nothing in it depends on how fast the machine is.
const screenLab = `apiVersion: dsrlab.dev/v1alpha1
kind: Lab
metadata:
  name: 98-screen
  title: What a person sees
spec:
  question: Is everything that was seen on the screen, in order, once, and nothing else?
  topology: talk
  seed: 98
  variants:
  - {name: snat, dataPath: dsrlab, mode: snat}
  - {name: dsr, dataPath: dsrlab, mode: dsr}
  phases:
  - name: addresses
    narration: The client calls the VIP, first over TCP and then over UDP, and asks the pod each time whose address it sees.
    repetitions: 2
    steps:
    - connect: {from: client, to: {service: tcp-echo, port: tcp}, protocol: tcp, count: 5}
    - connect: {from: client, to: {service: tcp-echo, port: udp}, protocol: udp, count: 5}
  - name: download
    narration: The client downloads through the VIP.
    steps:
    - transfer: {from: client, to: {service: tcp-echo, port: bulk}, direction: download, time: 2s}
  expectations:
  - {id: dsr-keeps, claims: [DSR-1], variant: dsr, metric: source_preserved, labels: {protocol: tcp}, atLeast: 1,
     text: with DSR the pod sees the client, headline: "the pod sees the client in {percent} of calls"}
  - {id: snat-loses, claims: [SNAT-1], variant: snat, metric: source_preserved, labels: {protocol: tcp}, atMost: 0,
     text: with SNAT it does not}
`

// TestScreen runs a demonstration on a terminal, and holds what is on the screen in the end, with what scrolled off it, against what
// the run recorded.
func TestScreen(t *testing.T) {
	b := build(t)
	dir := t.TempDir()
	lab := filepath.Join(dir, "98-screen")
	require.NoError(t, os.Mkdir(lab, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(lab, "lab.yaml"), []byte(screenLab), 0o644))
	for _, size := range []pty.Winsize{{Cols: 80, Rows: 24}, {Cols: 120, Rows: 36}} {
		t.Run(fmt.Sprintf("%dx%d", size.Cols, size.Rows), func(t *testing.T) {
			runs := filepath.Join(dir, fmt.Sprint(size.Cols))
			drawn, lines := onTerminal(t, size, exec.Command(b.dsrlab, "demo", lab, "--runs", runs, "--state-dir", b.state))
			run, err := results.Store{Dir: runs}.Find("latest")
			require.NoError(t, err)
			assertTold(t, run, lines)
			for _, line := range lines {
				assert.LessOrEqual(t, terminal.Width(line), int(size.Cols))
				assert.NotContains(t, line, "░", "the bar is gone")
			}
			assert.Contains(t, drawn, "2 of 2  dsr", "while it ran, there was a bar")
			assert.Regexp(t, `2 of 2  dsr  \S+ [kMG]?bit/s`, drawn, "and the rate of the transfer")
			assert.Contains(t, drawn, "\x1b[32mreproduced\x1b[0m", "in colours")
			for _, verdict := range results.Verdicts(run).Claims {
				assert.Contains(t, lines, fmt.Sprintf("%-8s%-12s%s", verdict.ID, verdict.Verdict.Words(), terminal.Parts(verdict.Headlines).Fit(int(size.Cols)-20)))
			}
			assert.Contains(t, lines, "DSR-1   reproduced  the pod sees the client in 100 % of calls")
		})
	}
}

// onTerminal runs a command on a terminal of its own, and returns all that it wrote and the lines that a person sees when it has
// ended, from the first one that scrolled off.
func onTerminal(t *testing.T, size pty.Winsize, cmd *exec.Cmd) (drawn string, lines []string) {
	t.Helper()
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "NO_COLOR=")
	tty, err := pty.StartWithSize(cmd, &size)
	require.NoError(t, err)
	defer tty.Close()
	written, err := io.ReadAll(tty)
	if !errors.Is(err, syscall.EIO) { // is what a terminal ends with
		require.NoError(t, err)
	}
	// What a busy machine can't measure is untested, with exit code 1, and on the screen as anything else is.
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		require.NoError(t, err, string(written))
	}
	screen := vt.NewEmulator(int(size.Cols), int(size.Rows))
	_, err = screen.Write(written)
	require.NoError(t, err)
	require.Less(t, screen.ScrollbackLen(), screen.Scrollback().MaxLines(), "nothing was forgotten")
	for y := range screen.ScrollbackLen() {
		lines = append(lines, strings.TrimRight(screen.Scrollback().Line(y).String(), " "))
	}
	for _, line := range strings.Split(screen.String(), "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return string(written), lines
}

// assertTold holds lines against a run's evidence: all of it, in order, once, under the names of variants.
func assertTold(t *testing.T, run *results.Run, lines []string) {
	t.Helper()
	without := func(s string) string { return strings.Join(strings.Fields(s), "") } // what wrapping may change
	shown := without(strings.Join(lines, " "))
	var messages []string
	last := ""
	for _, event := range run.Events {
		switch event.Kind {
		case results.EventNarration:
			last = ""
			messages = append(messages, event.Message)
		case results.EventEvidence:
			var data struct{ Variant string }
			require.NoError(t, json.Unmarshal(event.Data, &data))
			message := event.Message
			if data.Variant != last {
				message = data.Variant + message
			}
			last = data.Variant
			messages = append(messages, message)
		}
	}
	require.GreaterOrEqual(t, len(messages), 2+2*2*2+2, "two phases, with the evidence of each trial")
	// What is between two messages is the name of a phase and no more.
	for i, message := range messages {
		before, after, found := strings.Cut(shown, without(message))
		require.True(t, found, "%s\nin %s", message, shown)
		if i > 0 {
			assert.LessOrEqual(t, len(before), len("addresses"), "between the messages: %s", before)
		}
		shown = after
	}
}
