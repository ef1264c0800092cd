package main

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// newNetwork is a network without workload or data path.
func newNetwork(t *testing.T, name string) *netns.Network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	topology, err := topologies.Lookup("talk")
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	network, err := netns.Up(t.Context(), plan, netns.Options{StateDir: testLabs.StateDir(t), Name: name})
	require.NoError(t, err)
	return network
}

func TestExec(t *testing.T) {
	b := build(t)
	network := newNetwork(t, "test-exec")
	execute := func(t *testing.T, in string, argv ...string) (code int, stdout, stderr string) {
		t.Helper()
		cmd := exec.Command(b.dsrlab, append([]string{"exec", "--state-dir", network.StateDir(), "--name", network.Name()}, argv...)...)
		var out, errs strings.Builder
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &errs
		_ = cmd.Run() // its exit code says it
		return exitCode(cmd), out.String(), errs.String()
	}
	for _, test := range []struct {
		argv        []string
		code        int
		out, stderr string
	}{
		{[]string{"client", "--", "echo", "-n", "hello"}, 0, "hello", ""},
		{[]string{"tcp-echo", "--", "sh", "-c", "echo sorry >&2; exit 7"}, 7, "", "sorry\n"},
		{[]string{"worker", "--", "sh", "-c", "kill -TERM $$"}, 143, "", ""},
		{[]string{"worker", "--", "no-such-program"}, 127, "",
			"dsrlab: run no-such-program in worker: exec: \"no-such-program\": executable file not found in $PATH\n"},
		{[]string{"worker", "--", "/"}, 126, "", "dsrlab: run / in worker: exec: \"/\": is a directory\n"},
		{[]string{"nobody", "--", "true"}, exitUsage, "",
			"dsrlab: unknown node or pod of test-exec \"nobody\": want one of client, fabric, lb, tcp-echo, worker\n"},
	} {
		t.Run(strings.Join(test.argv, " "), func(t *testing.T) {
			code, out, stderr := execute(t, "", test.argv...)
			assert.Equal(t, test.code, code)
			assert.Equal(t, test.out, out)
			assert.Equal(t, test.stderr, stderr)
		})
	}
	// It is in there, and its input is passed on.
	code, out, _ := execute(t, "readlink /proc/self/ns/net", "lb", "--", "sh")
	assert.Equal(t, exitOK, code)
	var want string
	require.NoError(t, network.Do("lb", func() (err error) {
		want, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}))
	assert.Equal(t, want, strings.TrimSpace(out))
}

// exitCode is a program's exit code, as a shell has it.
func exitCode(cmd *exec.Cmd) int {
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// Signals are the program's own: a shell goes on after an interrupt, and what does not care of one ends.
func TestExecSignals(t *testing.T) {
	heedSignals(t)
	b := build(t)
	network := newNetwork(t, "test-signals")
	for _, test := range []struct {
		script string
		signal syscall.Signal
		code   int
	}{
		{"echo ready; exec sleep 1000", syscall.SIGINT, 130},
		{"echo ready; exec sleep 1000", syscall.SIGTERM, 143},
		{"echo ready; exec sleep 1000", syscall.SIGHUP, 129},
		{"trap 'exit 3' INT; echo ready; while :; do sleep 0.1; done", syscall.SIGINT, 3},
	} {
		cmd := exec.Command(b.dsrlab, "exec", "--state-dir", network.StateDir(), "--name", network.Name(), "lb", "--", "sh", "-c", test.script)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "ready\n", line)
		require.NoError(t, cmd.Process.Signal(test.signal))
		_ = cmd.Wait()
		assert.Equal(t, test.code, exitCode(cmd), "%s: %v", test.script, test.signal)
	}
}

func TestCaptureCommand(t *testing.T) {
	network := newNetwork(t, "test-capture")
	file := filepath.Join(t.TempDir(), "lb.pcapng")
	type result struct {
		code        int
		out, stderr string
	}
	done := make(chan result, 1)
	go func() {
		code, out, stderr := command(t, "capture", "--state-dir", network.StateDir(), "lb", "-w", file, "--count", "2", "--duration", "10s")
		done <- result{code, out, stderr}
	}()
	address := network.Plan().Nodes[1].Addresses[0].Addr()
	require.NoError(t, network.Do("client", func() error {
		conn, err := net.Dial("udp", netip.AddrPortFrom(address, 9).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		for len(done) == 0 { // until it has seen enough
			_, _ = conn.Write([]byte("x"))
		}
		return nil
	}))
	assert.Equal(t, result{exitOK, "", "2 packets captured, 0 lost\n"}, <-done)
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	require.NoError(t, err)
	for range 2 {
		_, _, err = r.ReadPacketData()
		require.NoError(t, err)
	}
	_, _, err = r.ReadPacketData()
	assert.ErrorIs(t, err, io.EOF)

	code, _, stderr := command(t, "capture", "--state-dir", network.StateDir(), "lb", "-i", "eth7", "--duration", "1s")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, `capture in lb: no device "eth7" (want one of lo, `)
	code, out, stderr := command(t, "capture", "--state-dir", network.StateDir(), "fabric", "-i", "any", "--duration", "10ms")
	assert.Equal(t, exitOK, code)
	assert.NotEmpty(t, out)
	assert.Regexp(t, `^\d+ packets captured, 0 lost\n$`, stderr)
}

func TestStatusAndDown(t *testing.T) {
	network := newNetwork(t, "test-status")
	code, out, _ := command(t, "status", "--state-dir", network.StateDir(), "-o", "json")
	assert.Equal(t, exitOK, code)
	assert.JSONEq(t, `[{"name": "test-status", "topology": "talk", "state": "running", "nodes": 3, "pods": 1}]`, out)
	for range 2 { // the second finds nothing to do
		code, _, stderr := command(t, "down", "--state-dir", network.StateDir(), "--name", "test-status")
		assert.Equal(t, exitOK, code)
		assert.Equal(t, "test-status is down\n", stderr)
	}
	code, out, _ = command(t, "status", "--state-dir", network.StateDir(), "-o", "json")
	assert.Equal(t, exitOK, code)
	assert.JSONEq(t, `[]`, out)
}
