package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is wrong with a path is said in plain words, and not in the names of the system calls that found it out.
func TestFilesInPlainWords(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"file", "manifest/manifest.json"} {
		path := filepath.Join(dir, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte("{}"), 0o644))
	}
	require.NoError(t, os.Symlink("circle", filepath.Join(dir, "circle")))
	lines := []string{
		"capture --dissector PATH", "lab list --runs PATH", "lab new 15-my-lab --dir PATH", "lab run PATH",
		"lab show PATH", "lab validate PATH", "results claims --runs PATH", "results compare PATH PATH", "results list --dir PATH",
		"results list --runs PATH", "results report 01 -w PATH", "results report PATH", "results show PATH", "results table PATH",
		"status --state-dir PATH", "topology graph PATH", "topology graph talk -w PATH", "topology show PATH", "topology validate PATH",
		"up -f PATH", "workshop --runs PATH", "workshop verify 01-source-ip/whose 1 --runs PATH", "image -w PATH", "demo PATH", "demo dsr --play PATH",
		"down --name talk --state-dir PATH", "lb list --state-dir PATH", "metrics --state-dir PATH", "support-bundle --doctor=false -w PATH",
		"support-bundle --doctor=false --state-dir PATH -w PATH", "lab run 01 --substrate cluster --kubeconfig PATH",
		"assess --from PATH", "assess --from ../../labs/assess/testdata/observed.yaml --profile PATH",
	}
	for _, path := range []string{"missing/x", "file/x", "circle/x", "manifest", "."} {
		for _, line := range lines {
			t.Run(strings.ReplaceAll(line, "PATH", path), func(t *testing.T) {
				code, _, stderr := command(t, strings.Fields(strings.ReplaceAll(line, "PATH", filepath.Join(dir, path)))...)
				t.Logf("%d %s", code, stderr)
				assert.NotRegexp(t, `\b(stat|lstat|open|openat|read|readlink|readdirent|fdopendir|mkdir|rename|unlinkat|chdir) (/|\.)`, stderr)
			})
		}
	}
}
