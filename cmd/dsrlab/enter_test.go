package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
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
	network := newNetwork(t, "test-exec")
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
		{[]string{"nobody", "--", "true"}, exitUsage, "",
			"dsrlab: test-exec has no \"nobody\"; there are [fabric client lb worker tcp-echo]\n"},
	} {
		t.Run(strings.Join(test.argv, " "), func(t *testing.T) {
			code, out, stderr := command(t, append([]string{"exec", "--state-dir", network.StateDir()}, test.argv...)...)
			assert.Equal(t, test.code, code)
			assert.Equal(t, test.out, out)
			assert.Equal(t, test.stderr, stderr)
		})
	}
	// It is in there, and its input is passed on.
	var out bytes.Buffer
	code := run(t.Context(), []string{"exec", "--state-dir", network.StateDir(), "lb", "--", "sh"},
		streams{in: strings.NewReader("readlink /proc/self/ns/net"), out: &out, err: io.Discard})
	assert.Equal(t, exitOK, code)
	ns, err := network.NetNS("lb")
	require.NoError(t, err)
	defer ns.Close()
	var want string
	require.NoError(t, network.Do("lb", func() (err error) {
		want, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}))
	assert.Equal(t, want, strings.TrimSpace(out.String()))
}

// A terminal's interrupt reaches the program itself, which may be a shell: it ends only if it wants to.
func TestExecInterrupted(t *testing.T) {
	network := newNetwork(t, "test-interrupt")
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	code := run(interrupted, []string{"exec", "--state-dir", network.StateDir(), "lb", "--", "echo", "still here"},
		streams{in: strings.NewReader(""), out: &out, err: io.Discard})
	assert.Equal(t, exitOK, code)
	assert.Equal(t, "still here\n", out.String())
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
	assert.Contains(t, stderr, `capture in lb: no device "eth7"; there are [lo `)
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
