package kube

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func nodeDocument(name string) string {
	return fmt.Sprintf("kind: Node\napiVersion: v1\nmetadata: {name: %s}\n", name)
}

func TestDocuments(t *testing.T) {
	var found []string
	for _, d := range documents([]byte("---\n\n a\n---x: b\n---\n\n---  # comment\n--- {c: d}\n---\r\ne\n---")) {
		found = append(found, fmt.Sprintf("%d %q", d.line, d.text))
	}
	assert.Equal(t, []string{`3 " a\n---x: b\n"`, `7 "  # comment\n"`, `8 " {c: d}\n"`, `10 "e\n"`}, found)
}

// follow reads a file as Follow does, once, and returns the names of the nodes that come and go.
func follow(t *testing.T, f *follower, content string) (came, went []string, err error) {
	t.Helper()
	require.NoError(t, os.WriteFile(f.file, []byte(content), 0o644))
	now, err := f.read()
	f.events = make(chan Event, 100)
	f.tell(t.Context(), now, err)
	close(f.events)
	for e := range f.events {
		switch {
		case e.Synced:
		case e.Gone:
			went = append(went, e.Node.Name)
		default:
			came = append(came, e.Node.Name)
		}
	}
	return came, went, err
}

// A document with an error harms itself only, and takes nothing away.
func TestFollowBadDocument(t *testing.T) {
	var log strings.Builder
	f := &follower{file: filepath.Join(t.TempDir(), "objects.yaml"), log: slog.New(slog.NewTextHandler(&log, nil))}
	a, b, c := nodeDocument("a"), nodeDocument("b"), nodeDocument("c")
	came, went, err := follow(t, f, a+"---\nkind: [Node\n---\n"+b)
	assert.ElementsMatch(t, []string{"a", "b"}, came)
	assert.Empty(t, went)
	require.ErrorContains(t, err, f.file+":5: document 2: ")
	assert.NotContains(t, err.Error(), "\n")
	assert.Equal(t, 1, strings.Count(log.String(), "document 2"))

	// b is broken now: it stays as it was.
	came, went, err = follow(t, f, a+"---\n"+strings.Replace(b, "metadata", "metadatum", 1)+"---\n"+c)
	assert.ElementsMatch(t, []string{"a", "b", "c"}, came)
	assert.Empty(t, went)
	require.ErrorContains(t, err, f.file+`:5: document 2: strict decoding error: unknown field "metadatum"`)

	// Nothing can be read: nothing changes.
	came, went, err = follow(t, f, "kind: [Node\n")
	assert.Empty(t, came)
	assert.Empty(t, went)
	require.Error(t, err)

	came, went, err = follow(t, f, a+"---\n"+c)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"a", "c"}, came)
	assert.Equal(t, []string{"b"}, went)

	// The same again is no change, and no error.
	came, went, err = follow(t, f, a+"---\n"+c)
	require.NoError(t, err)
	assert.Empty(t, append(came, went...))
}

// What can't be read at all is an error, of every kind of wrong path.
func TestFollowRefuses(t *testing.T) {
	dir := t.TempDir()
	pipe, bad, large, many := filepath.Join(dir, "pipe"), filepath.Join(dir, "bad"), filepath.Join(dir, "large"), filepath.Join(dir, "many")
	require.NoError(t, syscall.Mkfifo(pipe, 0o644))
	require.NoError(t, os.WriteFile(bad, []byte("kind: [Node\n"), 0o644))
	require.NoError(t, os.WriteFile(large, nil, 0o644))
	require.NoError(t, os.Truncate(large, 1<<30))
	require.NoError(t, os.WriteFile(many, []byte("["+strings.Repeat("a,", 1_000_000)+"]"), 0o644))
	for file, want := range map[string]string{
		"/dev/zero": "read objects: /dev/zero: too large: found more (want at most 16 MiB)",
		pipe:        "found a pipe that nobody writes to",
		bad:         bad + ":1: document 1: ",
		large:       "too large: found 1024 MiB (want at most 16 MiB)",
		many:        "too large: found about 1000002 values (want at most 1000000)",
		dir:         "is a directory",
		dir + "/x":  "no such file or directory",
	} {
		_, err := Follow(t.Context(), file, slog.New(slog.DiscardHandler))
		assert.ErrorContains(t, err, want)
	}
	for _, file := range []string{"/dev/zero", pipe, large, many, dir} {
		_, err := ReadConfig(file)
		assert.Error(t, err)
	}
}
