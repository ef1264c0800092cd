package bounded

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// files are what a path may lead to, by name.
func files(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("text\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "large"), nil, 0o644))
	require.NoError(t, os.Truncate(filepath.Join(dir, "large"), 1<<40)) // has no blocks
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o755))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	require.NoError(t, os.Symlink("/dev/zero", filepath.Join(dir, "zero")))
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "socket")})
	require.NoError(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	return dir
}

// Whatever a path leads to, reading it ends, with the file's content or an error that says what was found.
func TestReadFile(t *testing.T) {
	dir := files(t)
	data, err := ReadFile(filepath.Join(dir, "file"), 5)
	require.NoError(t, err)
	assert.Equal(t, "text\n", string(data))
	for name, want := range map[string]string{
		"large":   ": too large: found 1048576 MiB (want at most 1 MiB)",
		"zero":    ": too large: found more (want at most 1 MiB)",
		"pipe":    ": found a pipe that nobody writes to (want a file)",
		"folder":  "is a directory",
		"socket":  "no such device or address",
		"missing": "no such file or directory",
	} {
		_, err := ReadFile(filepath.Join(dir, name), Document)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, filepath.Join(dir, name))
	}
}

// A pipe with a writer, as a shell's <(…), is read to its end, however late that comes.
func TestReadFilePipe(t *testing.T) {
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	go func() {
		_, err := writer.WriteString("text\n")
		assert.NoError(t, err)
		assert.NoError(t, writer.Close())
	}()
	data, err := ReadFile(fmt.Sprintf("/proc/self/fd/%d", reader.Fd()), Document)
	require.NoError(t, err)
	assert.Equal(t, "text\n", string(data))
}

func TestReadFS(t *testing.T) {
	dir := files(t)
	for name, want := range map[string]string{
		"large":   "large: too large: found 1048576 MiB (want at most 1 MiB)",
		"zero":    "zero: found a device (want a regular file)",
		"pipe":    "pipe: found a named pipe (want a regular file)",
		"socket":  "socket: found a socket (want a regular file)",
		"folder":  "folder: found a folder (want a regular file)",
		"missing": "stat missing: no such file or directory",
	} {
		_, err := ReadFS(os.DirFS(dir), name, Document)
		assert.EqualError(t, err, want)
	}
	_, err := ReadFS(os.DirFS(dir), "missing", Document)
	require.ErrorIs(t, err, fs.ErrNotExist)
	data, err := ReadFS(fstest.MapFS{"a": {Data: []byte("x")}}, "a", 1)
	require.NoError(t, err)
	assert.Equal(t, "x", string(data))
}

func TestRead(t *testing.T) {
	data, err := Read("standard input", strings.NewReader("1234"), 4)
	require.NoError(t, err, "as large as may be")
	assert.Len(t, data, 4)
	_, err = Read("standard input", strings.NewReader(strings.Repeat("1", Document+1)), Document)
	assert.EqualError(t, err, "standard input: too large: found more (want at most 1 MiB)")
}

func TestCheckValues(t *testing.T) {
	require.NoError(t, CheckValues("x.yaml", []byte("a: [1, 2]\n"), 5))
	assert.EqualError(t, CheckValues("x.yaml", []byte("a: [1, 2]\n"), 4), "x.yaml: too large: found about 5 values (want at most 4)")
}
