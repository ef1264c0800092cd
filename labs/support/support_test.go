package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unpack returns the files of a bundle.
func unpack(t *testing.T, bundle io.Reader) map[string]string {
	t.Helper()
	zipped, err := gzip.NewReader(bundle)
	require.NoError(t, err)
	all := make(map[string]string)
	for archive := tar.NewReader(zipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		content, err := io.ReadAll(archive)
		require.NoError(t, err)
		all[strings.TrimPrefix(header.Name, "dsrlab-support/")] = string(content)
	}
}

// A testbed that can't even be opened is in the bundle with its files; secrets beside them are not.
func TestBundleOfBrokenTestbed(t *testing.T) {
	t.Setenv("DSRLAB_TEST_SECRET", "hunter2")
	state := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(state, "broken", "logs"), 0o755))
	for file, content := range map[string]string{
		"plan.json": `{"half`, "journal.jsonl": "{}\n", "kubeconfig": "token: hunter2", "logs/agent.log": strings.Repeat("x", maxLog) + "the end\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(state, "broken", file), []byte(content), 0o600))
	}
	require.NoError(t, os.Symlink("/etc/shadow", filepath.Join(state, "broken", "logs", "other.log")))
	var out bytes.Buffer
	require.NoError(t, Write(t.Context(), &out, Options{StateDir: state, Version: "abc"}))
	files := unpack(t, &out)
	for _, name := range []string{"README.txt", "environment.json", "testbeds.json", "problems.txt", "broken/state/journal.jsonl"} {
		assert.NotEmpty(t, files[name], name)
	}
	assert.Equal(t, "abc\n", files["version.txt"])
	assert.Equal(t, `{"half`, files["broken/state/plan.json"])
	assert.Len(t, files["broken/state/logs/agent.log"], maxLog)
	assert.True(t, strings.HasSuffix(files["broken/state/logs/agent.log"], "the end\n"))
	assert.Contains(t, files["problems.txt"], "broken: ")
	for name, content := range files {
		assert.NotContains(t, content, "hunter2", name)
		assert.NotContains(t, name, "kubeconfig")
		assert.NotContains(t, name, "other.log")
	}
}

// Without any testbed there is still the machine.
func TestBundleOfNothing(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Write(t.Context(), &out, Options{StateDir: filepath.Join(t.TempDir(), "missing")}))
	files := unpack(t, &out)
	assert.Contains(t, files["environment.json"], `"kernel"`)
	assert.Equal(t, "\n", files["problems.txt"])
}
