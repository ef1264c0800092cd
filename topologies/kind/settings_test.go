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
	for _, test := range []struct{ name, made, now, want string }{
		{"as the nodes made it", "5000", "5000\n", "1000"},
		{"the nodes never came up", "", "5000\n", "1000"},
		{"changed meanwhile", "5000", "7000\n", "7000\n"},
		{"restored by another cluster's end", "5000", "900\n", "900\n"},
		{"never changed", "1000", "1000\n", "1000\n"},
	} {
		require.NoError(t, os.WriteFile(file, []byte(test.now), 0o644))
		require.NoError(t, restoreInitSetting(dir, "file-max", "1000", test.made))
		now, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, test.want, string(now), test.name)
	}
	assert.ErrorContains(t, restoreInitSetting(dir, "no-such", "1", ""), "restore sysctl no-such to 1: ")
}
