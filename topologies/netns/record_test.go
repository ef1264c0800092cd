package netns

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDownKeepsWhatIsNoLab(t *testing.T) {
	dir := t.TempDir()
	photos := filepath.Join(dir, "photos")
	require.NoError(t, os.Mkdir(photos, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(photos, "cat"), nil, 0o644))
	assert.EqualError(t, Down(t.Context(), dir, "photos", nil), photos+" has no journal, and is kept for what no testbed has: cat")
	assert.FileExists(t, filepath.Join(photos, "cat"))
	list, err := List(dir)
	require.NoError(t, err)
	assert.Empty(t, list)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 1, "no lock either")
}

// testbedsIn makes the folders of testbeds by hand: what of each file there is, by their names.
func testbedsIn(t *testing.T, dir string, folders map[string]map[string]string) {
	t.Helper()
	for name, files := range folders {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name, logsFolder), 0o755))
		for file, content := range files {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name, file), []byte(content), 0o644))
		}
	}
}

// A broken testbed is listed with its reason, can be taken down, and keeps no other from anything.
func TestBrokenHarmsItselfOnly(t *testing.T) {
	begin := fmt.Sprintf(`{"kind":"begin","id":"1","bootID":%q}`+"\n", bootID())
	complete := begin + `{"kind":"complete"}` + "\n"
	const plan = `{"Name":"talk","Nodes":[{"Name":"lb"}]}`
	broken := map[string]struct{ journal, plan, reason string }{
		"no-journal":   {"", plan, "it has no journal"},
		"bytes":        {"\x00\xff\n", plan, "its journal is damaged: it has no beginning"},
		"headless":     {`{"kind":"complete"}` + "\n", plan, "its journal is damaged: it has no beginning"},
		"a-hole":       {begin + "{\"kind\n" + `{"kind":"complete"}` + "\n", plan, "its journal is damaged: line 2 is no entry"},
		"cut-plan":     {complete, plan[:10], "its plan can't be read: unexpected end of JSON input"},
		"empty-plan":   {complete, "{}", "its plan can't be read: it has no nodes"},
		"missing-plan": {complete, "", "its plan can't be read: no such file or directory"},
	}
	dir := t.TempDir()
	folders := make(map[string]map[string]string)
	for name, b := range broken {
		folders[name] = make(map[string]string)
		if b.journal != "" {
			folders[name][journalFile] = b.journal
		}
		if b.plan != "" {
			folders[name][planFile] = b.plan
		}
	}
	folders["half"] = map[string]string{journalFile: begin + `{"kind":"namesp`}
	folders["whole"] = map[string]string{journalFile: complete, planFile: `{"Name":"talk","Substrate":"kind","Nodes":[{"Name":"lb","Role":"lb"}]}`}
	folders["long-line"] = map[string]string{
		journalFile: begin + `{"kind":"process","name":"` + strings.Repeat("x", 1<<20) + `"}` + "\n" + `{"kind":"complete"}` + "\n",
		planFile:    folders["whole"][planFile],
	}
	testbedsIn(t, dir, folders)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "fifo"), 0o755))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "fifo", journalFile), 0o600))
	require.NoError(t, os.WriteFile(lockPath(dir, "only-a-lock"), nil, 0o644))

	list, err := List(dir)
	require.NoError(t, err)
	found := make(map[string]Status)
	for _, s := range list {
		found[s.Name] = s
	}
	for name, b := range broken {
		assert.Equal(t, Status{Name: name, State: Broken, Reason: b.reason}, found[name], name)
		_, err := Open(dir, name)
		assert.EqualError(t, err, fmt.Sprintf("testbed %s is broken: %s; `dsrlab down --name %[1]s` removes it", name, b.reason))
	}
	assert.Equal(t, Status{Name: "fifo", State: Broken, Reason: "its journal can't be read: it is no regular file"}, found["fifo"])
	assert.Equal(t, Status{Name: "half", State: Incomplete}, found["half"])
	assert.Equal(t, Status{Name: "only-a-lock", State: Incomplete}, found["only-a-lock"])
	assert.Len(t, list, len(broken)+5)
	for _, name := range []string{"whole", "long-line"} {
		nw, err := Open(dir, name)
		require.NoError(t, err, name)
		assert.Equal(t, "talk", nw.Plan().Name)
	}
	for _, s := range list {
		assert.NoError(t, Down(t.Context(), dir, s.Name, nil), s.Name)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestJournalCutShort(t *testing.T) {
	j := &journal{path: filepath.Join(t.TempDir(), journalFile)}
	require.NoError(t, j.add(entry{Kind: "begin", ID: "1"}))
	file, err := os.OpenFile(j.path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	fmt.Fprint(file, `{"kind":"namesp`)
	require.NoError(t, file.Close())
	entries, damage := j.read()
	assert.Empty(t, damage)
	assert.Equal(t, []entry{{Kind: "begin", ID: "1"}}, entries)
}

func TestMark(t *testing.T) {
	m := mark{id: "1a2b3c4d", namespace: "lb", folder: "/run/dsrlab:2"}
	assert.Equal(t, "dsrlab:1a2b3c4d:lb:/run/dsrlab:2", m.String())
	parsed, ok := parseMark(m.String())
	assert.True(t, ok)
	assert.Equal(t, m, parsed)
	parsed, ok = parseMark(markOf("1", "lb"))
	assert.True(t, ok)
	assert.Equal(t, mark{id: "1", namespace: "lb"}, parsed)
	for _, other := range []string{"", "dsrlab", "dsrlab:", "dsrlab::lb", "docker:1:lb"} {
		_, ok := parseMark(other)
		assert.False(t, ok, other)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 200))
	assert.Regexp(t, "^sha256:[0-9a-f]{16}$", stateFolderID(long))
	assert.NotEqual(t, stateFolderID(long), stateFolderID(long+"y"))
}

// A namespace belongs to a network whose journal is lost if its mark names that network and that state folder, not by its name.
func TestOwns(t *testing.T) {
	lost := owner{network: "a", folder: "/run/dsrlab"}
	known := owner{ids: map[string]bool{"1": true}}
	for _, c := range []struct {
		name  string
		o     owner
		ns    string
		m     mark
		owned bool
	}{
		{"by its ID", known, "dsrlab-a-lb", mark{id: "1", namespace: "lb"}, true},
		{"another ID", known, "dsrlab-a-lb", mark{id: "2", namespace: "lb", folder: "/run/dsrlab"}, false},
		{"by its state folder", lost, "dsrlab-a-lb", mark{id: "2", namespace: "lb", folder: "/run/dsrlab"}, true},
		{"of another state folder", lost, "dsrlab-a-lb", mark{id: "2", namespace: "lb", folder: "/tmp"}, false},
		{"of network a-b", lost, "dsrlab-a-b-lb", mark{id: "2", namespace: "lb", folder: "/run/dsrlab"}, false},
		{"namespace b-lb of this one", lost, "dsrlab-a-b-lb", mark{id: "2", namespace: "b-lb", folder: "/run/dsrlab"}, true},
		{"without a state folder", lost, "dsrlab-a-lb", mark{id: "2", namespace: "lb"}, false},
	} {
		t.Run(c.name, func(t *testing.T) { assert.Equal(t, c.owned, c.o.owns(c.ns, c.m)) })
	}
}
