package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/assess"
)

// observedFile is what the package's golden files are made of: a source check and a VLAN.
const observedFile = "../../labs/assess/testdata/observed.yaml"

func TestAssessFromFile(t *testing.T) {
	code, out, stderr := command(t, "assess", "--from", observedFile)
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "dsrlab: DSR works if 2 things are changed.\n", stderr)
	for _, want := range []string{
		"Would DSR work on shop? DSR works if 2 things are changed.\n",
		"The nodes are of AWS EC2.\n",
		"1. source-check: The network drops",
		"   Found at:    a, b (IPv4)\n",
		"aws ec2 modify-instance-attribute",
		"2. vlan-overhead: ",
		"   See it:      sudo dsrlab lab run 10-nlb-and-bgp\n",
		"default/web",
		"What would be gained:\n",
		"Could not be read:\n  b: the speed of eth0: the driver does not tell\n",
	} {
		assert.Contains(t, out, want)
	}
	assert.NotContains(t, out, "Not known:")

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
		code, out, stderr := command(t, append([]string{"assess", "--state-dir", b.state, "--idle", "0s"}, args...)...)
		t.Log(stderr)
		return code, out
	}
	up := b.run(t, "up", "-f", "would-it-work", "--mode", "none", "--obstacle", "geneve-blocked,path-mtu")
	assert.Contains(t, up, "  geneve-blocked: Between the nodes UDP port 6081 is blocked, as by a security group that does not name it.\n")
	file := filepath.Join(t.TempDir(), "observed.json")
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
	b.run(t, "down")
}
