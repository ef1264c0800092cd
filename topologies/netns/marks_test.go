package netns

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies/proc"
)

// sleeper starts a process on a node, and returns a function that reports whether it runs.
func sleeper(t *testing.T, nw *Network, node string) (running func() bool) {
	t.Helper()
	pid, err := nw.Start(t.Context(), node, Process{Name: "sleeper-" + node, Argv: []string{"sleep", "600"}})
	require.NoError(t, err)
	p, err := proc.Read(pid)
	require.NoError(t, err)
	return func() bool { return proc.IsRunning(pid, p.Start) }
}

// journalLines keeps some lines of a journal.
func journalLines(t *testing.T, nw *Network, keep func(lines []string) []string) {
	t.Helper()
	document, err := os.ReadFile(nw.journal.path)
	require.NoError(t, err)
	lines := strings.SplitAfter(string(document), "\n")
	require.NoError(t, os.WriteFile(nw.journal.path, []byte(strings.Join(keep(lines), "")), 0o644))
}

// Whatever is left of its record, all of a network is removed, and nothing of another one, whose name begins with its.
func TestDownByMarks(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	plan := talk(t)
	sibling := up(t, plan, "test-lost-b", dir)
	other := sleeper(t, sibling, "lb")
	before := hostState(t)
	remove := func(t *testing.T, nw *Network, names ...string) {
		for _, name := range names {
			require.NoError(t, os.Remove(filepath.Join(nw.Dir(), name)))
		}
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, nw *Network)
		state  string
		reason string
	}{
		{"no journal", func(t *testing.T, nw *Network) { remove(t, nw, journalFile) }, Broken, "it has no journal"},
		{"no journal, owner and plan", func(t *testing.T, nw *Network) { remove(t, nw, journalFile, ownerFile, planFile) }, Broken, "it has no journal"},
		{"no folder", func(t *testing.T, nw *Network) {
			require.NoError(t, removePins(nw.bpfDir()))
			require.NoError(t, os.RemoveAll(nw.Dir()))
		}, Broken, "its folder is gone, but not its namespaces"},
		{"half a journal", func(t *testing.T, nw *Network) {
			journalLines(t, nw, func(lines []string) []string { return lines[:3] })
		}, Incomplete, ""},
		{"beginning only, without owner", func(t *testing.T, nw *Network) {
			remove(t, nw, ownerFile)
			journalLines(t, nw, func(lines []string) []string { return lines[:1] })
		}, Incomplete, ""},
		{"second half of a journal", func(t *testing.T, nw *Network) {
			journalLines(t, nw, func(lines []string) []string { return lines[4:] })
		}, Broken, "its journal is damaged: it has no beginning"},
		{"rubbish", func(t *testing.T, nw *Network) {
			require.NoError(t, os.WriteFile(nw.journal.path, []byte(strings.Repeat("x", 1<<20)+"\n"), 0o644))
		}, Broken, "its journal is damaged: it has no beginning"},
		{"cut plan", func(t *testing.T, nw *Network) {
			require.NoError(t, os.Truncate(nw.planPath(), 100))
		}, Broken, "its plan can't be read: unexpected end of JSON input"},
		{"a namespace without its name", func(t *testing.T, nw *Network) {
			remove(t, nw, journalFile, ownerFile)
			require.NoError(t, removeName(namespaceName(nw.name, "lb")))
		}, Broken, "it has no journal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			nw := up(t, plan, "test-lost", dir)
			mine := sleeper(t, nw, "lb")
			pinProgram(t, nw)
			c.damage(t, nw)
			list, err := List(dir)
			require.NoError(t, err)
			require.Len(t, list, 2)
			assert.Equal(t, Status{Name: "test-lost", State: c.state, Reason: c.reason}, list[0])
			assert.Equal(t, Running, list[1].State)
			require.NoError(t, Down(t.Context(), dir, "test-lost", nil))
			assert.False(t, mine())
			assert.True(t, other())
			assert.Equal(t, before, hostState(t))
			assert.NoDirExists(t, nw.Dir())
		})
	}
	dial(t, sibling, "client", "worker", plan.Nodes[2].Addresses[0].Addr())
}

// Up builds anew what is broken, as what is incomplete.
func TestUpMendsDamaged(t *testing.T) {
	dir := t.TempDir()
	plan := talk(t)
	nw := up(t, plan, "test-damaged", dir)
	running := sleeper(t, nw, "lb")
	require.NoError(t, os.Remove(nw.journal.path))
	nw, err := Up(t.Context(), plan, Options{StateDir: dir, Name: "test-damaged"})
	require.NoError(t, err)
	assert.False(t, nw.Existing())
	assert.False(t, running())
	dial(t, nw, "client", "worker", plan.Nodes[2].Addresses[0].Addr())
}

// A network of the same name in another state folder is another's.
func TestDownKeepsOtherStateFolders(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	plan := talk(t)
	nw := up(t, plan, "test-place", dir)
	running := sleeper(t, nw, "lb")
	require.NoError(t, os.MkdirAll(filepath.Join(other, "test-place", logsFolder), 0o755))
	list, err := List(other)
	require.NoError(t, err)
	assert.Equal(t, []Status{{Name: "test-place", State: Broken, Reason: "it has no journal"}}, list)
	require.NoError(t, Down(t.Context(), other, "test-place", nil))
	assert.NoDirExists(t, filepath.Join(other, "test-place"))
	assert.True(t, running())
	dial(t, nw, "client", "worker", plan.Nodes[2].Addresses[0].Addr())
}

// A process of ours that looks into a namespace with one of its threads is not the network's, even if that is its main thread.
func TestDownKeepsVisitors(t *testing.T) {
	dir := t.TempDir()
	nw := up(t, talk(t), "test-visited", dir)
	visitor := exec.Command(os.Args[0])
	visitor.Env = append(os.Environ(), dieAtVariable+"=visit", dirVariable+"="+filepath.Join(namespaceDir, namespaceName(nw.name, "lb")))
	leave, err := visitor.StdinPipe()
	require.NoError(t, err)
	out, err := visitor.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, visitor.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "inside\n", line)
	require.NoError(t, Down(t.Context(), dir, "test-visited", nil))
	require.NoError(t, leave.Close())
	require.NoError(t, visitor.Wait(), "it ended when it wanted to")
}
