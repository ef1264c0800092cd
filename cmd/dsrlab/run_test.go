package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/explain"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
)

// command runs a command line in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(context.Background(), args, streams{in: strings.NewReader(""), out: &out, err: &err})
	return code, out.String(), err.String()
}

func TestBadUsage(t *testing.T) {
	catalogued, err := labs.Catalogue()
	require.NoError(t, err)
	for _, test := range []struct {
		args []string
		err  string
	}{
		{[]string{"nonsense"}, `dsrlab: unknown command "nonsense" for "dsrlab"`},
		{[]string{"up"}, "dsrlab: --file: which topology? `dsrlab topology list` lists those of the catalogue"},
		{[]string{"status", "--nonsense"}, "dsrlab: unknown flag: --nonsense"},
		{[]string{"status", "-o", "xml", "--state-dir", t.TempDir()}, `dsrlab: --output: unknown format "xml" (want table, json or yaml)`},
		{[]string{"lab", "show", "99-nothing"}, `dsrlab: unknown lab "99-nothing" (want ` + strings.Join(catalogued, ", ") + ")"},
		{[]string{"lab", "run", "99-nothing"}, `dsrlab: unknown lab "99-nothing" (want ` + strings.Join(catalogued, ", ") + ")"},
		{
			[]string{"lab", "run", "01-source-ip", "--fault", "all"},
			`dsrlab: --fault: fault "all": must be no-option, no-reply-rewrite, snat, or empty for none`,
		},
		{[]string{"lab", "run", "04-l7-headers", "--proxy", "squid"}, `dsrlab: --proxy: unknown engine "squid" (want builtin, nginx or haproxy)`},
		{[]string{"lab", "run", "01-source-ip", "--substrate", "cloud"}, `dsrlab: --substrate: unknown substrate "cloud" (want netns, kind or cluster)`},
		{[]string{"up", "-f", "talk", "--substrate", "cluster"}, `dsrlab: --substrate: unknown substrate "cluster" (want netns or kind)`},
		{[]string{"lab", "run", "01-source-ip", "--context", "c"}, `dsrlab: --context: only with --substrate cluster`},
		{
			[]string{"lab", "run", "01-source-ip", "--substrate", "cluster", "--fault", "snat"},
			`dsrlab: --fault: not with --substrate cluster, on which nothing is installed`,
		},
		{
			[]string{"lab", "run", "01-source-ip", "--substrate", "cluster", "--data-path", "cilium"},
			`dsrlab: --data-path: unknown data path "cilium" (want as-is or dsrlab)`,
		},
		{[]string{"demo", "dsr", "--present", "--substrate", "cluster"}, `dsrlab: --present: not with --substrate cluster`},
		{[]string{"lab", "show"}, "dsrlab: found no argument (want `dsrlab lab show LAB`)"},
		{[]string{"lab", "rum"}, `dsrlab: unknown command "rum" for "dsrlab lab": did you mean "run"?`},
		{[]string{"results", "everything"}, `dsrlab: unknown command "everything" for "dsrlab results": want one of claims, compare, list, report, show, table`},
		{[]string{"lab", "show", "1"}, `dsrlab: ambiguous lab "1" (want one of 10-nlb-and-bgp, 11-why-it-matters, 12-when-snat-is-fine, 13-failover, 14-would-it-work)`},
		{[]string{"lab", "run", "01", "--repetitions", "x"}, `dsrlab: --repetitions: found "x" (want a whole number)`},
		{[]string{"trace", "a", "b", "--timeout", "3"}, `dsrlab: --timeout: found "3" (want a time with its unit, as in 500ms or 2s)`},
		{[]string{"lab", "run", "01", "--repetitions", "-1"}, "dsrlab: --repetitions: found -1 (want 1 or more, or 0 for what the lab says)"},
		{
			[]string{"observe", "--reason", "no-backnd", "--verdict", "droped", "--last", "-1", "-o", "yaml"},
			`dsrlab: verdict: unknown verdict "droped": did you mean "dropped"?
reason: unknown reason "no-backnd": did you mean "no-backend"?
--output: unknown format "yaml" (want compact or json)
--last: found -1 (want 0 or more)`,
		},
		{[]string{"observe", "--all", "--last", "3"}, "dsrlab: --last and --all: give one of them"},
		{[]string{"lab", "show", "01-source-pi"}, `dsrlab: unknown lab "01-source-pi": did you mean "01-source-ip"?`},
		{[]string{"lab", "run", "01-source-pi", "02-troughput"}, "dsrlab: unknown lab \"01-source-pi\": did you mean \"01-source-ip\"?\nunknown lab \"02-troughput\": did you mean \"02-throughput\"?"},
		{[]string{"lab", "validate", "/dev/zero"}, "dsrlab: find lab: /dev/zero: too large: found more (want at most 1 MiB)"},
		{[]string{"lab", "run", "01", "--runs", "/dev/null/x"}, "dsrlab: --runs: /dev/null is a file (want a folder)"},
		{[]string{"lab", "run", "01", "--runs", "/dev/null"}, "dsrlab: --runs: /dev/null is a file (want a folder)"},
		{[]string{"results", "list", "--runs", "/missing"}, "dsrlab: --runs: there is no folder /missing (want one that runs were recorded in, as by `dsrlab lab run --runs`)"},
		{[]string{"results", "list", "--runs", "/dev/null"}, "dsrlab: --runs: /dev/null is a file (want a folder)"},
		{[]string{"explain", "no-backed"}, `dsrlab: unknown reason "no-backed": did you mean "no-backend"?`},
		{[]string{"explain", "a", "b"}, "dsrlab: found 2 arguments (want `dsrlab explain [REASON]`)"},
		{[]string{"topology", "validate", "/dev/zero"}, "dsrlab: read topology: /dev/zero: too large: found more (want at most 1 MiB)"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			code, out, stderr := command(t, test.args...)
			assert.Equal(t, exitUsage, code)
			assert.Empty(t, out)
			assert.Equal(t, test.err, strings.TrimSpace(stderr))
		})
	}
}

func TestVersion(t *testing.T) {
	code, out, _ := command(t, "--version")
	assert.Equal(t, exitOK, code)
	assert.Regexp(t, `^dsrlab \S+.*\n$`, out)
	assert.Equal(t, "abc, with uncommitted changes (2026-11-29T12:00:00Z)", version(results.Revision{Commit: "abc", Time: "2026-11-29T12:00:00Z", Modified: true}))
}

// A group of commands shows its help; a lab is found by the beginning of its name.
func TestHelpAndPrefix(t *testing.T) {
	code, out, _ := command(t, "lab")
	assert.Equal(t, exitOK, code)
	assert.Contains(t, out, "Available Commands")
	code, out, _ = command(t, "lab", "show", "06")
	assert.Equal(t, exitOK, code)
	assert.Contains(t, out, "name: 06-dsr-packet-walk")
}

func TestVariantOf(t *testing.T) {
	v, err := variantOf("dsr", "xdp", "no-option")
	require.NoError(t, err)
	assert.Equal(t, testbed.Variant{
		Name: "dsr", DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR, Hook: dataplane.HookXDP, Fault: dataplane.FaultNoOption,
	}, v)
	for args, want := range map[[3]string]string{
		{"ipvs", "", ""}:           `--mode: unknown mode "ipvs" (want snat, dsr, hybrid, kube-proxy, dnat-only or none)`,
		{"dsr", "pcap", ""}:        `--hook: hook: unknown hook "pcap" (want tc or xdp)`,
		{"dsr", "", "all"}:         `--fault: fault "all": must be no-option, no-reply-rewrite, snat, or empty for none`,
		{"kube-proxy", "", "snat"}: `--fault: mode, hook, fault: only dataPath dsrlab has them`,
	} {
		_, err := variantOf(args[0], args[1], args[2])
		assert.EqualError(t, err, want)
	}
}

func TestNeedsLab(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: without it the answer is that root is needed")
	}
	for _, args := range [][]string{{"exec", "client", "--", "true"}, {"capture", "lb", "-w", "x"}, {"lb", "list"}, {"observe"}} {
		args := append([]string{args[0]}, append(args[1:], "--state-dir", t.TempDir())...)
		if args[0] == "exec" {
			args = []string{"exec", "--state-dir", t.TempDir(), "client", "--", "true"}
		}
		code, _, stderr := command(t, args...)
		assert.Equal(t, exitUsage, code, args)
		assert.Equal(t, "dsrlab: found no testbed (want one: `dsrlab up` builds it)\n", stderr)
	}
	code, _, _ := command(t, "down", "--state-dir", t.TempDir())
	assert.Equal(t, exitOK, code, "nothing to take down is nothing wrong")
}

func TestNeedsRoot(t *testing.T) {
	if os.Geteuid() == 0 { // be nobody for as long as this test takes
		require.NoError(t, syscall.Seteuid(65534))
		defer func() { require.NoError(t, syscall.Seteuid(0)) }()
	}
	for _, args := range [][]string{{"up", "-f", "talk"}, {"lab", "run", "01-source-ip"}, {"demo", "dsr"}, {"down"}, {"lb", "list"}} {
		code, _, stderr := command(t, args...)
		assert.Equal(t, exitUnsupported, code, args)
		assert.Contains(t, stderr, "needs root")
		assert.Contains(t, stderr, "sudo")
	}
}

func TestLabList(t *testing.T) {
	code, out, _ := command(t, "lab", "list", "-o", "json")
	require.Equal(t, exitOK, code)
	var all []listedLab
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 14)
	assert.Equal(t, []string{"SNAT-1", "SNAT-2", "DSR-1", "DSR-3", "CONF-1"}, all[0].Claims)
	for _, l := range all {
		assert.Positive(t, l.Seconds, "%s: a reference run tells how long it takes", l.Name)
	}
	assert.Equal(t, []string{"none", "kube-proxy", "snat", "dsr"}, all[1].Variants)
	code, out, _ = command(t, "lab", "show", "02-throughput")
	require.Equal(t, exitOK, code)
	assert.Contains(t, out, "02-throughput")
}

func TestExplain(t *testing.T) {
	code, out, _ := command(t, "explain", "REASON_DROP_NO_BACKEND")
	assert.Equal(t, exitOK, code)
	for _, want := range []string{"no-backend (dropped)", "Meaning:  ", "Cause:    ", "Remedy:   ", `dsrlab_packets_total{reason="no-backend"}`} {
		assert.Contains(t, out, want)
	}
	assert.NotContains(t, out, "See it", "no lab provokes it")
	code, out, _ = command(t, "explain", "icmp-relayed")
	assert.Equal(t, exitOK, code)
	assert.Contains(t, out, "See it:   sudo dsrlab lab run 10-nlb-and-bgp\n")
	reasons, err := explain.Reasons()
	require.NoError(t, err)
	catalogue, err := labs.Catalogue()
	require.NoError(t, err)
	for _, r := range reasons {
		if r.Lab != "" {
			assert.Contains(t, catalogue, r.Lab, r.Name)
		}
	}
	code, out, _ = command(t, "explain")
	assert.Equal(t, exitOK, code)
	assert.Contains(t, out, "reply-direct")
	assert.Contains(t, out, "spoofed")
}

// Shells offer names, not only commands and flags.
func TestCompletion(t *testing.T) {
	for want, args := range map[string][]string{
		"01-source-ip": {"lab", "run", ""}, "talk": {"up", "--file", ""}, "no-backend": {"observe", "--reason", ""},
		"latest": {"results", "show", ""}, "01-source-ip/whose": {"workshop", "verify", ""}, "1/2": {"lab", "run", "01", "--scale", ""},
		"yaml": {"topology", "list", "-o", ""}, "source-ip": {"topology", "graph", ""}, "hybrid": {"up", "--mode", ""}, "dsr": {"demo", ""},
		"to-overlay-dsr": {"explain", "to"},
	} {
		code, out, _ := command(t, append([]string{"__complete"}, args...)...)
		assert.Equal(t, exitOK, code, args)
		assert.Contains(t, strings.Split(out, "\n"), want, args)
	}
}

// What lab new prints runs as it stands, but for sudo.
func TestLabNewAndValidate(t *testing.T) {
	t.Chdir(t.TempDir())
	code, out, stderr := command(t, "lab", "new", "08-x")
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, out, "sudo dsrlab lab run ./08-x\n")
	assert.Contains(t, out, "dsrlab lab validate ./08-x\n")
	code, out, stderr = command(t, "lab", "validate", "./08-x", "08-x", "01-source-ip")
	assert.Equal(t, exitOK, code, stderr)
	assert.Equal(t, "./08-x: lab 08-x is valid\n08-x: lab 08-x is valid\n01-source-ip: lab 01-source-ip is valid\n", out)

	data, err := os.ReadFile("08-x/lab.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("08-x/lab.yaml", []byte(strings.Replace(string(data), "from: client", "from: cleint", 1)), 0o644))
	code, _, stderr = command(t, "lab", "validate", "08-x")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, `unknown node or pod "cleint": did you mean "client"?`)
	assert.Contains(t, stderr, "08-x/lab.yaml:")
}
