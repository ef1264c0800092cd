package kind

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// All that nodes change of the machine is noted before there is a node, and restored.
func TestSettingsRemembered(t *testing.T) {
	noted := map[string]string{}
	require.NoError(t, rememberSettings(func(r netns.Resource) error {
		noted[r.Name] = r.Value
		return nil
	}))
	for _, name := range []string{"fs/file-max", "fs/nr_open", "fs/protected_regular", "kernel/pid_max"} {
		assert.NotEmpty(t, noted[name], name)
	}
}

func TestRestoreInitSetting(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file-max")
	require.NoError(t, os.WriteFile(file, []byte("9223372036854775807\n"), 0o644))
	require.NoError(t, restoreInitSetting(dir, "file-max", "1000"))
	now, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "1000", string(now))
	assert.ErrorContains(t, restoreInitSetting(dir, "no-such", "1"), "restore sysctl no-such to 1: ")
}
