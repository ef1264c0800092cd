package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies/lockfile"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// exitCode runs dsrlab and returns its exit status and what it wrote to stderr.
func (b binaries) exitCode(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command(b.dsrlab, append([]string{args[0], "--state-dir", b.state}, args[1:]...)...)
	cmd.Stderr = &stderr
	err := cmd.Run()
	var status *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &status)
	}
	return cmd.ProcessState.ExitCode(), stderr.String()
}

// upStopped starts dsrlab up, and stops it with a signal when it starts the workload.
func (b binaries) upStopped(t *testing.T) *exec.Cmd {
	t.Helper()
	up := exec.Command(b.dsrlab, "up", "-f", "talk", "--state-dir", b.state)
	stderr, err := up.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, up.Start())
	t.Cleanup(func() { _ = up.Process.Kill() })
	steps := bufio.NewScanner(stderr)
	for steps.Scan() && !strings.HasPrefix(steps.Text(), "start workload") {
	}
	require.NoError(t, up.Process.Signal(syscall.SIGSTOP), "it had such a step")
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	return up
}

// Two terminals: what one builds, the other can neither remove nor build as well, until the first is done with it.
func TestTwoTerminals(t *testing.T) {
	b := build(t)
	up := b.upStopped(t)
	for _, args := range [][]string{{"down", "--name", "talk"}, {"down", "--all"}, {"down"}, {"up", "-f", "talk", "--mode", "snat"}} {
		code, stderr := b.exitCode(t, args...)
		assert.Equal(t, exitUsage, code, "%v: %s", args, stderr)
		assert.Contains(t, stderr, "testbed talk is in use by `dsrlab up -f talk --state-dir "+b.state+"` (process ", args)
	}
	assert.Contains(t, b.run(t, "status"), "talk is in use by `dsrlab up")

	second := exec.Command(b.dsrlab, "up", "-f", "talk", "--mode", "snat", "--wait", "--state-dir", b.state)
	told, err := second.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, second.Start())
	lines := bufio.NewReader(told)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, "waiting: testbed talk is in use by ")
	require.NoError(t, up.Process.Signal(syscall.SIGCONT))
	_, _ = io.Copy(io.Discard, lines)
	require.NoError(t, up.Wait())
	require.NoError(t, second.Wait())
	assert.Equal(t, "192.168.1.11", b.seen(t, "tcp", "185.150.8.128:8080"), "the second one's data path")

	network, err := netns.Open(b.state, "talk")
	require.NoError(t, err)
	release, err := network.AcquireTrace(t.Context(), nil)
	require.NoError(t, err)
	code, said := b.exitCode(t, "trace", "client", "185.150.8.128:8080")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, said, "testbed talk is being traced by `")
	third := exec.Command(b.dsrlab, "trace", "client", "185.150.8.128:8080", "--wait", "--state-dir", b.state)
	told, err = third.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, third.Start())
	line, err = bufio.NewReader(told).ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, "waiting: testbed talk is being traced by `")
	release()
	require.NoError(t, third.Wait())
	b.run(t, "down")
}

// A command that was killed holds nothing any more.
func TestKilledHoldsNothing(t *testing.T) {
	b := build(t)
	up := b.upStopped(t)
	require.NoError(t, up.Process.Kill())
	_ = up.Wait()
	code, stderr := b.exitCode(t, "down", "--all")
	assert.Equal(t, exitOK, code, stderr)
	left, err := os.ReadDir(b.state)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// Labs that measure exclude each other, whatever their testbeds and state folders.
func TestOneLabMeasures(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	release, err := netns.AcquireMachine(t.Context(), nil)
	require.NoError(t, err)
	defer release()
	for _, args := range [][]string{
		{"lab", "run", "01-source-ip"}, {"lab", "run", "--all"}, {"demo", "dsr"}, {"demo", "06-dsr-packet-walk", "--present"},
	} {
		runs := filepath.Join(t.TempDir(), "runs")
		code, _, stderr := command(t, append(args, "--state-dir", t.TempDir(), "--runs", runs)...)
		assert.Equal(t, exitUsage, code, args)
		assert.Contains(t, stderr, "dsrlab: this machine is in use for measuring by `", args)
		assert.NoDirExists(t, runs)
	}
	require.NoError(t, netns.ForgetMachine(t.Context()))
	_, err = netns.AcquireMachine(t.Context(), nil)
	assert.ErrorAs(t, err, new(*lockfile.HeldError), "it is held")
	ctx, cancel := context.WithCancelCause(t.Context())
	var out bytes.Buffer
	code := run(ctx, []string{"lab", "run", "01-source-ip", "--wait"}, streams{in: strings.NewReader(""), out: &out, err: writer(func(p []byte) {
		assert.Regexp(t, "^(waiting|dsrlab: wait while): this machine is in use for measuring by |^dsrlab: wait while ", string(p))
		cancel(errors.New("it waits"))
	})})
	assert.Equal(t, exitFailed, code)
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// A broken testbed harms itself only: the others are listed, built and taken down, and it too can be.
func TestBrokenTestbed(t *testing.T) {
	dir := t.TempDir()
	for file, content := range map[string]string{"journal.jsonl": strings.Repeat("x", 1<<20) + "\n", "plan.json": `{"Na`} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "cut"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "cut", file), []byte(content), 0o644))
	}
	code, stdout, _ := command(t, "status", "--state-dir", dir)
	assert.Equal(t, exitOK, code)
	assert.Contains(t, stdout, "cut is broken: its journal is damaged: it has no beginning; `dsrlab down --name cut` removes it\n")
	if os.Geteuid() != 0 {
		return
	}
	code, _, stderr := command(t, "lb", "list", "--name", "cut", "--state-dir", dir)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, "dsrlab: testbed cut is broken: its journal is damaged")

	require.NoError(t, os.MkdirAll(filepath.Join(dir, "keep"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "keep", "mine"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "keep", "owner.json"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "keep.lock"), nil, 0o644))
	code, _, stderr = command(t, "down", "--all", "--state-dir", dir)
	assert.Equal(t, exitFailed, code, "one is left")
	assert.Contains(t, stderr, "cut is down\n")
	assert.Contains(t, stderr, "keep has no journal, and is kept for what no testbed has: mine")
	assert.NoDirExists(t, filepath.Join(dir, "cut"))
	assert.FileExists(t, filepath.Join(dir, "keep", "mine"))
}
