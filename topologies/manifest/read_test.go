package manifest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Whatever a path leads to is read within bounds: a device that never ends, and a pipe that nobody writes to.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	file, pipe, large := filepath.Join(dir, "file"), filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	require.NoError(t, os.WriteFile(file, []byte("kind: Topology\n"), 0o644))
	require.NoError(t, unix.Mkfifo(pipe, 0o644))
	require.NoError(t, os.WriteFile(large, nil, 0o644))
	require.NoError(t, os.Truncate(large, 1<<40)) // has no blocks
	data, err := ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "kind: Topology\n", string(data))
	data, err = ReadFile(pipe)
	require.NoError(t, err)
	assert.Empty(t, data)
	for _, endless := range []string{"/dev/zero", large} {
		_, err = ReadFile(endless)
		assert.EqualError(t, err, endless+": found more than 16 MiB (want a YAML file)")
	}
	_, err = ReadFile(dir)
	assert.ErrorContains(t, err, "is a directory")
	_, err = ReadFile(filepath.Join(dir, "missing"))
	assert.ErrorIs(t, err, fs.ErrNotExist)

	_, err = Read("standard input", strings.NewReader(strings.Repeat("#", MaxSize)))
	require.NoError(t, err, "as large as may be")
}
