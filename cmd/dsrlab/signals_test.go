package main

import (
	"bufio"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies/netns/hoststate"
)

// heedSignals has programs that the test starts heed INT and HUP: where the test itself runs in the background, or by nohup, they would
// inherit that these are ignored.
func heedSignals(t *testing.T) {
	t.Helper()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(signals) })
}

// TestUpInterrupted interrupts `up` when the network stands, while it starts the workload and installs the data path: nothing is left.
func TestUpInterrupted(t *testing.T) {
	heedSignals(t)
	b := build(t)
	before := hoststate.Read(t)
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		cmd := exec.Command(b.dsrlab, "up", "-f", "talk", "--state-dir", b.state)
		stderr, err := cmd.StderrPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(stderr)
		for lines.Scan() && lines.Text() != "start workload of tcp-echo" {
		}
		require.NoError(t, cmd.Process.Signal(signal))
		for lines.Scan() {
			assert.NotContains(t, lines.Text(), "context canceled")
		}
		_ = cmd.Wait()
		if got := exitCode(cmd); got == exitOK { // it was done before it had the signal
			b.run(t, "down")
		} else {
			assert.Equal(t, want, got)
		}
		assert.JSONEq(t, "[]", b.run(t, "status", "-o", "json"))
		assert.Equal(t, before, hoststate.Read(t))
	}
}

// TestLabRunInterrupted closes a lab's terminal, and its output: it takes its testbed down, and its run is marked.
func TestLabRunInterrupted(t *testing.T) {
	heedSignals(t)
	b := build(t)
	before := hoststate.Read(t)
	runs := t.TempDir()
	cmd := exec.Command(b.dsrlab, "lab", "run", "01-source-ip", "--state-dir", b.state, "--runs", runs)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "the pod saw") { // of its first trial
	}
	require.NoError(t, out.Close())
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	_ = cmd.Wait()
	assert.Contains(t, []int{129, 141}, exitCode(cmd), "whichever came first")
	listed, err := exec.Command(b.dsrlab, "results", "list", "--dir", runs).Output()
	require.NoError(t, err)
	assert.Contains(t, string(listed), "interrupted")
	assert.JSONEq(t, "[]", b.run(t, "status", "-o", "json"))
	assert.Equal(t, before, hoststate.Read(t))
}
