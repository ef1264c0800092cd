package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/topologies"
)

// runTopology runs a command line of dsrlab topology.
func runTopology(t *testing.T, in string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"topology"}, args...), streams{in: strings.NewReader(in), out: &stdout, err: &stderr})
	return code, stdout.String(), stderr.String()
}

// talk is the catalogue's file of that name.
func talk(t *testing.T) string {
	t.Helper()
	source, err := topologies.Source("talk")
	require.NoError(t, err)
	return string(source)
}

func TestTopologyList(t *testing.T) {
	code, out, errOut := runTopology(t, "", "list")
	require.Equal(t, exitOK, code, errOut)
	assert.Regexp(t, `talk +3 +1 +1 +Slides 23 and 24: client and pod node on 1 Gbit/s,`, out)

	code, out, _ = runTopology(t, "", "list", "-o", "json")
	require.Equal(t, exitOK, code)
	var listed []listedTopology
	require.NoError(t, json.Unmarshal([]byte(out), &listed))
	require.Len(t, listed, len(topologies.Catalogue()))
	five := listed[slices.IndexFunc(listed, func(l listedTopology) bool { return l.Name == "five-nodes" })]
	assert.Equal(t, 5, five.Nodes)
	assert.Equal(t, 4, five.Pods)

	code, out, _ = runTopology(t, "", "list", "-o", "yaml")
	require.Equal(t, exitOK, code)
	var again []listedTopology
	require.NoError(t, yaml.Unmarshal([]byte(out), &again))
	assert.Equal(t, listed, again)
}

func TestTopologyShow(t *testing.T) {
	code, out, errOut := runTopology(t, "", "show", "talk")
	require.Equal(t, exitOK, code, errOut)
	for _, want := range []string{
		"talk: Slides 23 and 24", `lb +lb +192.168.1.11/24 +192.168.1.254 +10.0.0.0/24 +100mbit, queue 256kb`,
		`tcp-echo +worker +10.0.1.50 +echo :8080, bulk :5201`, `tcp-echo +LoadBalancer +185.150.8.128 +10.96.0.10 +8080/TCP +31000 +echo`,
	} {
		assert.Regexp(t, want, out)
	}

	code, out, _ = runTopology(t, "", "show", "talk", "-o", "yaml")
	require.Equal(t, exitOK, code)
	shown, err := topologies.Parse("shown.yaml", []byte(out))
	require.NoError(t, err, "what is shown can be read again")
	plan, err := topologies.PlanOf(shown)
	require.NoError(t, err)

	code, out, _ = runTopology(t, talk(t), "show", "-", "-o", "json", "--plan")
	require.Equal(t, exitOK, code)
	var read topologies.Plan
	require.NoError(t, json.Unmarshal([]byte(out), &read))
	assert.Empty(t, plan.Diff(&read))
	assert.Equal(t, plan.Hash, read.Hash)
}

func TestTopologyValidate(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	require.NoError(t, os.WriteFile(good, []byte(talk(t)), 0o644))
	require.NoError(t, os.WriteFile(bad, []byte(strings.ReplaceAll(talk(t), "1gbit", "1 gig")), 0o644))

	code, out, errOut := runTopology(t, "", "validate", good, "source-ip")
	require.Equal(t, exitOK, code, errOut)
	assert.Equal(t, good+": topology talk is valid\nsource-ip: topology source-ip is valid\n", out)

	code, out, errOut = runTopology(t, "", "validate", bad, good, filepath.Join(dir, "none.yaml"))
	assert.Equal(t, exitUsage, code)
	assert.Equal(t, good+": topology talk is valid\n", out, "the others are checked all the same")
	assert.Equal(t, `dsrlab: `+bad+`:25:18: spec.nodes[0].link.rate: rate "1 gig": unit must be one of bit, kbit, mbit, gbit
`+bad+`:35:18: spec.nodes[2].link.rate: rate "1 gig": unit must be one of bit, kbit, mbit, gbit
read topology: `+filepath.Join(dir, "none.yaml")+`: there is no such file or folder
`, errOut)
}

func TestTopologyGraph(t *testing.T) {
	code, out, errOut := runTopology(t, "", "graph", "talk")
	require.Equal(t, exitOK, code, errOut)
	assert.True(t, strings.HasPrefix(out, "flowchart LR\n"))
	assert.Contains(t, out, `w0 ---|"100mbit"| n0`)

	file := filepath.Join(t.TempDir(), "talk.svg")
	code, out, errOut = runTopology(t, "", "graph", "talk", "--format", "svg", "-w", file)
	require.Equal(t, exitOK, code, errOut)
	assert.Empty(t, out)
	picture, err := os.ReadFile(file)
	require.NoError(t, err)
	var svg struct{ XMLName xml.Name }
	require.NoError(t, xml.Unmarshal(picture, &svg))
	assert.Equal(t, "svg", svg.XMLName.Local)
	assert.Contains(t, string(picture), "100mbit")
}

func TestTopologyBadUsage(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown name":   {[]string{"show", "tlak"}, `dsrlab: read topology: there is neither a file nor a topology named "tlak": did you mean "talk"?`},
		"no such file":   {[]string{"graph", "./none.yaml"}, "dsrlab: read topology: ./none.yaml: there is no such file or folder"},
		"folder":         {[]string{"show", "."}, "dsrlab: read topology: .: it is a folder (want a file)"},
		"output":         {[]string{"list", "-o", "xml"}, `dsrlab: --output: unknown format "xml" (want table, json or yaml)`},
		"format":         {[]string{"graph", "talk", "--format", "png"}, `dsrlab: --format: unknown format "png" (want mermaid or svg)`},
		"no argument":    {[]string{"show"}, "dsrlab: found no argument (want `dsrlab topology show NAME|FILE`)"},
		"too many":       {[]string{"list", "talk"}, `dsrlab: unknown command "talk" for "dsrlab topology list"`},
		"unknown flag":   {[]string{"list", "--all"}, "dsrlab: unknown flag: --all"},
		"empty input":    {[]string{"show", "-"}, "dsrlab: standard input: is empty"},
		"nothing to say": {[]string{"validate"}, "dsrlab: found no argument (want `dsrlab topology validate FILE...`)"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := runTopology(t, "", test.args...)
			assert.Equal(t, exitUsage, code)
			assert.Empty(t, out)
			assert.Equal(t, test.want+"\n", errOut)
		})
	}
}

func TestLoadTopology(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("mine", []byte(strings.Replace(talk(t), "name: talk", "name: mine", 1)), 0o644))
	topology, err := loadTopology("mine")
	require.NoError(t, err, "a file without an extension is found, too")
	assert.Equal(t, "mine", topology.Metadata.Name)
	require.NoError(t, os.WriteFile("talk", []byte("not a topology"), 0o644))
	topology, err = loadTopology("talk")
	require.NoError(t, err, "a name of the catalogue comes first")
	assert.Equal(t, "talk", topology.Metadata.Name)
	_, err = loadTopology("./talk")
	require.ErrorContains(t, err, "./talk:1:1: ")
}
