package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/internal/capability"
	"github.com/dsrlab/dsrlab/labs/assess/prober"
	"github.com/dsrlab/dsrlab/labs/assess/remote"
)

// unreachable is a kubeconfig of a cluster that is not there: nobody listens on its port, which is of no protocol.
func unreachable(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, []byte(`apiVersion: v1
kind: Config
current-context: lab
contexts: [{name: lab, context: {cluster: lab}}]
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:1"}}]
`), 0o600))
	return file
}

// Flags of a testbed, of a file and of a cluster are told apart before anything is done.
func TestAssessClusterUsage(t *testing.T) {
	file := unreachable(t)
	for want, args := range map[string][]string{
		"dsrlab: --from: not with --kubeconfig or --context, which name a cluster\n":         {"--kubeconfig", file, "--from", observedFile},
		"dsrlab: --name: not with --kubeconfig or --context, which name a cluster\n":         {"--context", "x", "--name", "talk"},
		"dsrlab: --state-dir: not with --kubeconfig or --context, which name a cluster\n":    {"--context", "x", "--state-dir", "/tmp"},
		"dsrlab: --client: not with --kubeconfig or --context, which name a cluster\n":       {"--kubeconfig", file, "--client", "client"},
		"dsrlab: --image: only with --kubeconfig or --context\n":                             {"--image", "x"},
		"dsrlab: --ttl: only with --kubeconfig or --context\n":                               {"--from", observedFile, "--ttl", "1m"},
		"dsrlab: --ttl: found 10s (want whole seconds, 30s or more)\n":                       {"--kubeconfig", file, "--ttl", "10s"},
		"dsrlab: --ttl: found 1m0.5s (want whole seconds, 30s or more)\n":                    {"--kubeconfig", file, "--ttl", "60.5s"},
		"dsrlab: --ttl: found 1m29s (want 1m30s or more with --idle 1m0s)\n":                 {"--kubeconfig", file, "--ttl", "89s"},
		"dsrlab: --ttl: found 15m0s (want 15m30s or more with --idle 15m0s)\n":               {"--kubeconfig", file, "--idle", "15m"},
		"dsrlab: --max-nodes: found -1 (want 0 or more)\n":                                   {"--kubeconfig", file, "--max-nodes", "-1"},
		"dsrlab: --idle: found -1s (want 0 or more)\n":                                       {"--kubeconfig", file, "--idle", "-1s"},
		"dsrlab: --kubeconfig, --context: find the cluster: /missing: there is no such file": {"--kubeconfig", "/missing"},
		"dsrlab: --kubeconfig, --context: find the cluster: context \"x\" does not exist":    {"--kubeconfig", file, "--context", "x"},
	} {
		code, out, stderr := command(t, append([]string{"assess"}, args...)...)
		assert.Equal(t, exitUsage, code, args)
		assert.Empty(t, out, args)
		assert.Contains(t, stderr, want)
	}
}

// With --replay a testbed is built, too, which is somewhere and may have to wait.
func TestAssessClusterReplayUsage(t *testing.T) {
	for _, args := range [][]string{{"--state-dir", "/tmp"}, {"--wait"}} {
		cmd := newAssessCommand(streams{})
		require.NoError(t, cmd.ParseFlags(append([]string{"--context", "x", "--replay"}, args...)))
		meant, err := (&assessedCluster{ttl: remote.LeastTTL}).isMeant(cmd, 0)
		require.NoError(t, err, args)
		assert.True(t, meant, args)
		cmd = newAssessCommand(streams{})
		require.NoError(t, cmd.ParseFlags(append([]string{"--context", "x"}, args...)))
		_, err = (&assessedCluster{ttl: remote.LeastTTL}).isMeant(cmd, 0)
		require.ErrorContains(t, err, "not with --kubeconfig or --context", args)
	}
}

// A cluster that can't be reached is not assessed, and this machine's lack is told first.
func TestAssessClusterOutOfReach(t *testing.T) {
	code, out, stderr := command(t, "assess", "--kubeconfig", unreachable(t))
	assert.Empty(t, out)
	if len(capability.Lacking(capability.NetRaw)) > 0 {
		assert.Equal(t, exitUnsupported, code)
		assert.Contains(t, stderr, "this machine is the client, and sends packets of its own making (it needs root, or the capability CAP_NET_RAW")
		return
	}
	assert.Equal(t, exitUntested, code)
	assert.Contains(t, stderr, "dsrlab: reach the cluster: ")
	assert.Contains(t, stderr, "127.0.0.1:1")
}

// No failure has the exit code of a verdict.
func TestNotAssessedCluster(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{&remote.LackingError{What: "x"}, exitUnsupported},
		{fmt.Errorf("open: %w", &remote.LackingError{What: "x"}), exitUnsupported},
		{&prober.XDPError{Node: "a", Device: "eth0"}, exitUnsupported},
		{errors.New("x"), exitUntested},
	} {
		var exit *exitError
		require.ErrorAs(t, notAssessedCluster(c.err), &exit)
		assert.Equal(t, c.code, exit.code, c.err)
	}
}
