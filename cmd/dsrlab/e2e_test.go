package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies/netns/hoststate"
)

// binaries are the commands as users have them.
type binaries struct {
	dsrlab, labpod, state string
	// port is the last source port of the client, each of whose calls has its own: one that reaches a pod through two frontends is a
	// collision.
	port *int
}

// build returns the commands for one test, which runs them as root.
func build(t *testing.T) binaries {
	t.Helper()
	return binaries{testLabs.Program(t, "dsrlab"), testLabs.Program(t, "labpod"), testLabs.StateDir(t), new(int)}
}

// run runs dsrlab, which must succeed, and returns its standard output.
func (b binaries) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(b.dsrlab, append([]string{args[0], "--state-dir", b.state}, args[1:]...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%v: %s", args, stderr.String())
	return string(out)
}

// seen asks the pod whom it sees, from the client, and returns what it said.
func (b binaries) seen(t *testing.T, protocol, target string) string {
	t.Helper()
	*b.port++
	source := fmt.Sprintf("192.168.1.202:%d", 40000+*b.port)
	out := b.run(t, "exec", "client", "--", b.labpod, "connect", "--protocol", protocol, "--source", source, "-o", "json", target)
	var report struct {
		Connections []struct {
			Seen string `json:"seen"`
		} `json:"connections"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report), out)
	require.Len(t, report.Connections, 1)
	address, _, _ := strings.Cut(report.Connections[0].Seen, ":")
	return address
}

func TestHandsOn(t *testing.T) {
	b := build(t)
	before := hoststate.Read(t)
	for mode, want := range map[string]string{"dsr": "192.168.1.202", "snat": "192.168.1.11", "kube-proxy": "192.168.1.11"} {
		b.run(t, "up", "-f", "talk", "--mode", mode)
		for _, protocol := range []string{"tcp", "udp"} {
			for _, target := range []string{"185.150.8.128:8080", "192.168.1.11:31000"} {
				assert.Equal(t, want, b.seen(t, protocol, target), "%s %s %s", mode, protocol, target)
			}
		}
	}
	broken := b.run(t, "up", "-f", "talk", "--mode", "dsr", "--fault", "snat")
	assert.Contains(t, broken, "talk is running, data path dsr, broken on purpose: snat")
	assert.Equal(t, "192.168.1.11", b.seen(t, "tcp", "185.150.8.128:8080"))
	assert.Contains(t, b.run2(t, "lb", "list"), "[LoadBalancer, dsr]", "the tables are right")

	hybrid := b.run(t, "up", "-f", "talk", "--mode", "hybrid")
	assert.Contains(t, hybrid, "talk is running, data path hybrid")
	assert.Equal(t, "192.168.1.202", b.seen(t, "tcp", "185.150.8.128:8080"))
	assert.Equal(t, "192.168.1.11", b.seen(t, "udp", "185.150.8.128:8080"))

	list := b.run2(t, "lb", "list")
	assert.Contains(t, list, "185.150.8.128:8080/TCP (0)   0.0.0.0:0 (2) (0) [LoadBalancer, dsr]")
	assert.Contains(t, list, "185.150.8.128:8080/UDP (0)   0.0.0.0:0 (3) (0) [LoadBalancer, snat]")
	assert.Regexp(t, `192\.168\.1\.11:31000/TCP \(0\) +0\.0\.0\.0:0 \(\d+\) \(0\) \[NodePort, dsr\]`, list)
	flows := b.run(t, "observe", "--all")
	assert.GreaterOrEqual(t, strings.Count(b.run(t, "observe", "--all"), "\n"), strings.Count(flows, "\n"), "who looks takes nothing away from the next")
	assert.Regexp(t, `\[lb\]: 192\.168\.1\.202:\d+ \(world\) -> tcp-echo:8080 to-overlay FORWARDED \(TCP Flags: SYN\)`, flows)
	assert.Regexp(t, `\[worker\]: tcp-echo:8080 -> 192\.168\.1\.202:\d+ \(world\) to-network FORWARDED \(TCP Flags: SYN, ACK\)`, flows)
	b.run(t, "down")
	assert.Equal(t, before, hoststate.Read(t))
}

// run2 is run for a command with a subcommand.
func (b binaries) run2(t *testing.T, command, sub string, args ...string) string {
	t.Helper()
	out, err := exec.Command(b.dsrlab, append([]string{command, sub, "--state-dir", b.state}, args...)...).Output()
	require.NoError(t, err)
	return string(out)
}

// TestUpKilled kills `up` at each step that it names, and takes down what is left.
func TestUpKilled(t *testing.T) {
	b := build(t)
	before := hoststate.Read(t)
	for step := 1; ; step++ {
		cmd := exec.Command(b.dsrlab, "up", "-f", "talk", "--state-dir", b.state)
		stderr, err := cmd.StderrPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(stderr)
		name := ""
		for n := 0; n < step && lines.Scan(); n++ {
			name = lines.Text()
		}
		_ = cmd.Process.Kill()
		if cmd.Wait() == nil { // it was done before
			assert.Greater(t, step, 10)
			break
		}
		t.Run(fmt.Sprintf("%d %s", step, name), func(t *testing.T) {
			b.run(t, "down", "--name", "talk")
			assert.Equal(t, before, hoststate.Read(t))
		})
		if step > 40 {
			require.Fail(t, "up does not end")
		}
	}
	b.run(t, "down")
	assert.Equal(t, before, hoststate.Read(t))
}

// TestLabRun runs the first lab as a user does: by its exit code and its JSON.
func TestLabRun(t *testing.T) {
	b := build(t)
	before := hoststate.Read(t)
	runs := t.TempDir()
	out := b.run2(t, "lab", "run", "01-source-ip", "--runs", runs, "-o", "json")
	var summary results.Summary
	require.NoError(t, json.Unmarshal([]byte(out), &summary))
	assert.Equal(t, results.Passed, summary.Result)
	for _, claim := range summary.Claims {
		assert.Equal(t, results.Reproduced, claim.Verdict, claim.ID)
	}
	for _, protocol := range []string{"tcp", "udp"} {
		for variant, want := range map[string]float64{"none": 1, "kube-proxy": 0, "snat": 0, "dsr": 1} {
			m, ok := summary.Find(variant, "source_preserved", map[string]string{"protocol": protocol})
			require.True(t, ok)
			assert.Equal(t, want, *m.Median, "%s %s", variant, protocol)
		}
	}
	m, ok := summary.Find("dsr", "lb_port_bytes_reply", nil)
	require.True(t, ok)
	assert.Zero(t, *m.Median)
	assert.Equal(t, before, hoststate.Read(t))
}
