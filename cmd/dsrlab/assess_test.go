package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/cmd/internal/interrupt"
	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/assess/prober"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// observedFile is what the package's golden files are made of: a source check and a VLAN.
const observedFile = "../../labs/assess/testdata/observed.yaml"

func TestAssessFromFile(t *testing.T) {
	code, out, stderr := command(t, "assess", "--from", observedFile)
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "dsrlab: DSR works if 2 things are changed.\n", stderr)
	for _, want := range []string{
		"Would DSR work on shop? DSR works if 2 things are changed.\n",
		"The nodes run on AWS EC2.\n",
		"Network plugin: AWS VPC CNI. Service proxy: kube-proxy, iptables.\n",
		"1. source-check: The network drops",
		"   Found at:    a, b (IPv4)\n",
		"aws ec2 modify-instance-attribute",
		"2. vlan-overhead: ",
		"   See it:      sudo dsrlab lab run 10-nlb-and-bgp\n",
		"default/web",
		"What would be gained:\n",
		"Not known:\n  calls to [2001:db8:f::80]:80: not tried, as these have no IPv6 address: the client, a, b\n",
		"Could not be read:\n  b: the speed of eth0: the driver does not tell\n",
	} {
		assert.Contains(t, out, want)
	}
	for format, beginning := range map[string]string{"markdown": "# Would DSR work on shop?\n", "html": "<!doctype html>\n", "yaml": "findings:\n"} {
		code, out, _ = command(t, "assess", "--from", observedFile, "-o", format)
		assert.Equal(t, exitFailed, code, format)
		assert.Contains(t, out, beginning, format)
	}
	code, out, _ = command(t, "assess", "--from", observedFile, "-o", "json")
	assert.Equal(t, exitFailed, code)
	var r assess.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	assert.Equal(t, assess.WorksIf, r.Verdict)
	assert.Len(t, r.Findings, 2)
}

// What is saved is judged as what it was read from.
func TestAssessSave(t *testing.T) {
	file := filepath.Join(t.TempDir(), "observed.json")
	_, want, _ := command(t, "assess", "--from", observedFile, "--save", file)
	_, got, _ := command(t, "assess", "--from", file)
	assert.Equal(t, want, got)
	code, _, stderr := command(t, "assess", "--from", observedFile, "--save", "/missing/observed.json")
	assert.Equal(t, exitUsage, code)
	assert.Equal(t, "dsrlab: --save: there is no folder /missing to write observed.json in\n", stderr)
}

// Where nothing can be saved is found out before anything is probed, or else after the report was written.
func TestAssessSaveFails(t *testing.T) {
	code, _, stderr := command(t, "assess", "--state-dir", t.TempDir(), "--save", "/missing/observed.json")
	assert.Equal(t, exitUsage, code)
	assert.Equal(t, "dsrlab: --save: there is no folder /missing to write observed.json in\n", stderr)
	folder := t.TempDir()
	code, _, stderr = command(t, "assess", "--from", observedFile, "--save", folder)
	assert.Equal(t, exitUsage, code)
	assert.Equal(t, "dsrlab: --save: "+folder+" is a folder (want a file)\n", stderr)

	const full = "/sys/observed.json" // where nobody can make files
	_, want, _ := command(t, "assess", "--from", observedFile)
	code, out, stderr := command(t, "assess", "--from", observedFile, "--save", full)
	assert.Equal(t, exitUsage, code, "1 would be a verdict")
	assert.Equal(t, want, out)
	assert.Contains(t, stderr, "dsrlab: --save: ")
}

// What keeps a network from being assessed has no verdict's exit code.
func TestNotAssessed(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		code int
	}{
		"capability":    {fmt.Errorf("probe talk: %w", &netns.MissingError{Feature: "packet sockets", Err: unix.EPERM}), exitUnsupported},
		"XDP program":   {fmt.Errorf("probe talk: %w", &prober.XDPError{Node: "lb", Device: "eth0"}), exitUsage},
		"usage":         {usageError(errors.New("no testbed")), exitUsage},
		"anything else": {errors.New("probe talk: lb: open probe agent: too many open files"), exitUntested},
	} {
		var exit *exitError
		if assert.ErrorAs(t, notAssessed(test.err), &exit, name) {
			assert.Equal(t, test.code, exit.code, name)
		}
	}
	held := &lockfile.HeldError{What: "testbed talk is in use"}
	assert.Equal(t, held, notAssessed(held), "run has its exit code")
	assert.EqualError(t, notAssessed(&prober.XDPError{Node: "lb", Device: "eth0"}), "eth0 of lb has an XDP program, which takes packets before a "+
		"probe could be seen (want none while it is probed): `dsrlab up --hook tc`, with --file and --mode as before, installs the data path without one")
}

func TestCheckClient(t *testing.T) {
	clients := func(names ...string) *topologies.Plan {
		p := &topologies.Plan{Name: "some"}
		for _, name := range names {
			p.Nodes = append(p.Nodes, topologies.Node{Name: name, Role: topologies.RoleClient})
		}
		return p
	}
	require.NoError(t, checkClient(clients("a", "b"), ""))
	require.NoError(t, checkClient(clients("a", "b"), "b"))
	require.EqualError(t, checkClient(clients("a", "b"), "foo"), `--client: unknown client "foo" (want a or b)`)
	require.EqualError(t, checkClient(clients(), ""), "topology some has no client to probe from (want a node of role client)")
}

func TestAssessNotKnown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "observed.yaml")
	require.NoError(t, os.WriteFile(file, []byte("schema: "+assess.Schema+"\n"), 0o600))
	code, out, stderr := command(t, "assess", "--from", file)
	assert.Equal(t, exitUntested, code)
	assert.Equal(t, "dsrlab: It is not known whether DSR works: one thing was not tried, or gave no clear answer.\n", stderr)
	assert.Contains(t, out, "Not known:\n  the cluster's nodes\n")
}

func TestAssessUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"dsrlab: --from, --idle: found both (want one: a file is only read)\n":                                    {"assess", "--from", observedFile, "--idle", "1s"},
		"dsrlab: --from, --state-dir: found both (want one: a file is only read)\n":                               {"assess", "--from", observedFile, "--state-dir", "/missing"},
		"dsrlab: --idle: found -1s (want 0 or more)\n":                                                            {"assess", "--idle", "-1s"},
		"dsrlab: --output: unknown format \"xml\" (want table, json, yaml, markdown or html)\n":                   {"assess", "--from", observedFile, "-o", "xml"},
		"dsrlab: --from: /missing: there is no such file or folder\n":                                             {"assess", "--from", "/missing"},
		"dsrlab: --from: ../../topologies/talk.yaml: schema: unknown version \"\" (want " + assess.Schema + ")\n": {"assess", "--from", "../../topologies/talk.yaml"},
	} {
		code, out, stderr := command(t, args...)
		assert.Equal(t, exitUsage, code, args)
		assert.Empty(t, out, args)
		assert.Equal(t, want, stderr)
	}
}

// A testbed's network that misbehaves is diagnosed, one that does not is fine, and what is saved of it is judged alike.
func TestAssessTestbed(t *testing.T) {
	b := build(t)
	assess := func(args ...string) (code int, out string) {
		code, out, stderr := command(t, append([]string{"assess", "--state-dir", b.state, "--idle", "0s", "--wait"}, args...)...)
		t.Log(stderr)
		return code, out
	}
	up := b.run(t, "up", "-f", "would-it-work", "--mode", "none", "--obstacle", "geneve-blocked,path-mtu")
	assert.Contains(t, up, "  geneve-blocked: Between the nodes UDP port 6081 is blocked, as by a security group that does not name it.\n")
	file := filepath.Join(t.TempDir(), "observed.json")
	assertExcluded(t, b, "would-it-work")
	code, _, stderr := command(t, "assess", "--state-dir", b.state, "--client", "foo")
	assert.Equal(t, exitUsage, code)
	assert.Equal(t, "dsrlab: --client: unknown client \"foo\" (want client)\n", stderr)
	code, out := assess("--save", file)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, out, "geneve-blocked: ")
	assert.Contains(t, out, "mtu-too-small: ")
	_, again, _ := command(t, "assess", "--from", file)
	assert.Equal(t, out, again)

	assert.NotContains(t, b.run(t, "up", "-f", "would-it-work", "--mode", "none"), "geneve-blocked")
	code, out = assess()
	assert.Equal(t, exitOK, code, out)
	assert.Contains(t, out, "DSR works")

	b.run(t, "up", "-f", "would-it-work", "--hook", "xdp")
	code, out, stderr = command(t, "assess", "--state-dir", b.state, "--wait")
	assert.Equal(t, exitUsage, code)
	assert.Empty(t, out)
	assert.Contains(t, stderr, "has an XDP program")
	assert.Contains(t, stderr, "`dsrlab up --hook tc`")

	// What of it has failed is what is told.
	require.NoError(t, os.WriteFile(filepath.Join(b.state, "would-it-work", "obstacles"), []byte("unheard-of"), 0o600))
	code, stderr = b.exitCode(t, "up", "-f", "would-it-work", "--mode", "none")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "would-it-work is still there, with the data path that it had: dsrlab up replaces it, ")
	b.run(t, "down")
}

func TestUpObstacleRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"dsrlab: --obstacle: unknown obstacle \"x\" (want one of source-check, ": {"up", "-f", "would-it-work", "--obstacle", "x"},
		"dsrlab: --obstacle: obstacle urpf would do nothing: topology talk ":     {"up", "-f", "talk", "--obstacle", "urpf"},
	} {
		code, _, stderr := command(t, args...)
		assert.Equal(t, exitUsage, code, args)
		assert.Contains(t, stderr, want)
	}
}

// assertExcluded checks that a testbed is not probed while another command has it or measures on the machine, nor the other way round.
func assertExcluded(t *testing.T, b binaries, name string) {
	t.Helper()
	release, err := netns.AcquireMachine(t.Context(), func(*lockfile.HeldError) {})
	require.NoError(t, err)
	code, out, stderr := command(t, "assess", "--state-dir", b.state)
	release()
	assert.Equal(t, exitUsage, code)
	assert.Empty(t, out)
	assert.Contains(t, stderr, "dsrlab: this machine is in use for measuring by `")

	lock, err := netns.Acquire(t.Context(), b.state, name, nil)
	require.NoError(t, err)
	code, out, stderr = command(t, "assess", "--state-dir", b.state, "--wait", "--name", "none")
	assert.Equal(t, exitUsage, code, "what is wrong with the arguments is not waited for")
	assert.Empty(t, out)
	assert.NoFileExists(t, filepath.Join(b.state, "none.lock"), stderr)
	ctx, cancel := context.WithCancelCause(t.Context())
	var told strings.Builder
	code = run(ctx, []string{"assess", "--state-dir", b.state, "--wait"}, streams{in: strings.NewReader(""), out: io.Discard, err: writer(func(p []byte) {
		told.Write(p)
		if strings.Contains(told.String(), "testbed "+name+" is in use by `") {
			cancel(&interrupt.Error{Signal: unix.SIGINT})
		}
	})})
	lock.Release()
	assert.Equal(t, 130, code, told.String())

	probing, cancel := context.WithCancelCause(t.Context())
	code = run(probing, []string{"assess", "--state-dir", b.state, "--wait"}, streams{in: strings.NewReader(""), out: io.Discard, err: writer(func(p []byte) {
		if !strings.HasPrefix(string(p), "read facts") {
			return
		}
		_, err := netns.Acquire(t.Context(), b.state, name, nil)
		assert.ErrorAs(t, err, new(*lockfile.HeldError))
		_, err = netns.AcquireMachine(t.Context(), nil)
		assert.ErrorAs(t, err, new(*lockfile.HeldError))
		cancel(&interrupt.Error{Signal: unix.SIGINT})
	})})
	assert.Equal(t, 130, code)
}
