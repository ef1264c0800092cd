package labs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Progress is written beside its file and then takes its name: what else is in the folder, which may be another user's, stays as it is.
func TestProgressWrite(t *testing.T) {
	dir := t.TempDir()
	file, other := filepath.Join(dir, "runs", "workshop.json"), filepath.Join(dir, "other")
	require.NoError(t, os.Mkdir(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(other, []byte("other"), 0o644))
	require.NoError(t, os.Symlink(other, file+".new"))
	p, err := ReadProgress(file)
	require.NoError(t, err)
	for _, exercise := range []string{"whose", "why"} {
		p.Add("01-source-ip", exercise)
		require.NoError(t, p.Write(file))
	}
	content, err := os.ReadFile(other)
	require.NoError(t, err)
	assert.Equal(t, "other", string(content))
	written, err := ReadProgress(file)
	require.NoError(t, err)
	assert.Equal(t, p, written)
	entries, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	assert.Len(t, entries, 2, "no temporary file is left")
	info, err := os.Stat(file)
	require.NoError(t, err)
	same, err := os.Stat(other)
	require.NoError(t, err)
	assert.Equal(t, same.Mode(), info.Mode())
}
