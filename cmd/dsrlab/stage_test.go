package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/terminal"
)

// mainEnv makes the test's own binary the command, so that a terminal can run it.
const mainEnv = "DSRLAB_TEST_IS_MAIN"

// tmux is a terminal that tmux emulates.
type tmux struct {
	t      *testing.T
	socket string
}

// newTmux runs a command line of dsrlab in a terminal of a size, and says so with its exit code when it has ended.
func newTmux(t *testing.T, columns, rows int, args ...string) *tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("NOT TESTED: needs tmux (apt-get install tmux)")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	m := &tmux{t, filepath.Join(t.TempDir(), "tmux")}
	script := fmt.Sprintf("%s=1 TERM=screen-256color %s %s; echo \"exit $?\"; exec sleep 600", mainEnv, self, strings.Join(args, " "))
	m.run("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(rows), "sh", "-c", script)
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", m.socket, "kill-server").Run() })
	return m
}

func (m *tmux) run(args ...string) string {
	m.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", m.socket}, args...)...).CombinedOutput()
	require.NoError(m.t, err, string(out))
	return string(out)
}

// lines are those of the screen, or with all those that scrolled off it, too.
func (m *tmux) lines(all bool) []string {
	m.t.Helper()
	args := []string{"capture-pane", "-p"}
	if all {
		args = append(args, "-S", "-")
	}
	return strings.Split(strings.TrimRight(m.run(args...), "\n"), "\n")
}

// wait waits for a text to be on the screen, and returns the screen.
func (m *tmux) wait(want string) []string {
	m.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		lines := m.lines(false)
		if strings.Contains(strings.Join(lines, "\n"), want) {
			return lines
		}
		if time.Now().After(deadline) {
			require.Fail(m.t, "it is not on the screen", "want %q in\n%s", want, strings.Join(lines, "\n"))
		}
	}
}

func (m *tmux) keys(keys ...string) { m.t.Helper(); m.run(append([]string{"send-keys"}, keys...)...) }

// TestStage plays a reference run on a terminal, and resizes it on the way.
func TestStage(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {120, 36}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			m := newTmux(t, size[0], size[1], "demo", "dsr", "--play", "02-throughput", "--runs", t.TempDir())
			m.wait("[space] next")
			m.keys("Space")
			m.wait("▸none")
			m.keys("Space")
			m.wait("▸kube-proxy")
			m.keys("Space")
			m.wait("▸snat")
			bar := regexp.MustCompile(`▸snat +█{4,}.? 89.\d Mbit/s`)
			require.Eventually(t, func() bool { return bar.MatchString(strings.Join(m.lines(false), "\n")) }, time.Minute, 20*time.Millisecond, "it has grown")
			lines := m.lines(false)
			assert.Contains(t, lines[0], "02-throughput  download · snat")
			assert.Contains(t, lines[0], "4 of 13")
			shown := strings.Join(lines, "\n")
			assert.Contains(t, shown, map[int]string{24: "█▀█ █▀█", 36: "██████  ██████"}[size[1]], "large figures, an 8 and a 9")
			assert.Contains(t, shown, "RECORDED")

			m.run("resize-window", "-x", "60", "-y", "20")
			m.wait("Mbit/s")
			require.Eventually(t, func() bool {
				lines := m.lines(false)
				return len(lines) == 20 && strings.Contains(lines[0], "4 of 13") && strings.Contains(lines[19], "[space] next")
			}, time.Minute, 20*time.Millisecond, "the screen has the terminal's size")
			m.run("resize-window", "-x", fmt.Sprint(size[0]), "-y", fmt.Sprint(size[1]))
			m.keys("b")
			m.wait("▸kube-proxy")
			m.keys("C-c")
			m.wait("[q] quits and takes everything down")
			m.keys("q")
			all := strings.Join(append(m.wait("exit "), m.lines(true)...), "\n")
			assert.Contains(t, all, "exit 0")
			assert.NotContains(t, all, "download", "nothing of the show is left on the terminal")
		})
	}
}

// TestStageShowsWhatCommandPrints looks at the opening of a show.
func TestStageShowsWhatCommandPrints(t *testing.T) {
	m := newTmux(t, 80, 24, "demo", "dsr", "--play", "01-source-ip", "--runs", t.TempDir())
	assertTopologyShown(t, m.wait("[space] next"), 80)
}

// assertTopologyShown holds the opening screen against what the command that it shows prints.
func assertTopologyShown(t *testing.T, lines []string, columns int) {
	t.Helper()
	t.Setenv("NO_COLOR", "1")
	at := -1
	for i, line := range lines {
		if strings.HasPrefix(line, "$ ") {
			at = i
		}
	}
	require.GreaterOrEqual(t, at, 0, "a command in %s", strings.Join(lines, "\n"))
	args := strings.Fields(strings.TrimPrefix(lines[at], "$ dsrlab "))
	var printed strings.Builder
	code := run(context.Background(), args, streams{in: strings.NewReader(""), out: terminal.Fixed{Writer: &printed, Width: columns}, err: os.Stderr})
	require.Zero(t, code)
	want := strings.Split(printed.String(), "\n")
	for i, line := range lines[at+1 : len(lines)-1] { // the last line is the keys
		if i < len(want) {
			assert.Equal(t, want[i], line)
		}
	}
}
