package image

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWrite: the archive is one image that runs dsrlab, has the programs, and is the same each time.
func TestWrite(t *testing.T) {
	folder := t.TempDir()
	for _, program := range programs {
		require.NoError(t, os.WriteFile(filepath.Join(folder, program), []byte("program "+program), 0o755))
	}
	var first, second bytes.Buffer
	require.NoError(t, Write(&first, DefaultTag, folder))
	require.NoError(t, Write(&second, DefaultTag, folder))
	assert.Equal(t, first.Bytes(), second.Bytes())

	image, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(first.Bytes())), nil }, nil)
	require.NoError(t, err)
	config, err := image.ConfigFile()
	require.NoError(t, err)
	assert.Equal(t, []string{"/dsrlab"}, config.Config.Entrypoint)
	assert.Equal(t, "linux", config.OS)
	files, err := io.ReadAll(mutate.Extract(image))
	require.NoError(t, err)
	for _, program := range programs {
		assert.Contains(t, string(files), "program "+program)
	}
}

// TestWriteRefused: what is missing is named, and how to get it.
func TestWriteRefused(t *testing.T) {
	require.ErrorContains(t, Write(io.Discard, DefaultTag, t.TempDir()), "program dsrlab: ")
	require.ErrorContains(t, Write(io.Discard, DefaultTag, t.TempDir()), "make image makes it")
	require.ErrorContains(t, Write(io.Discard, "no tag", t.TempDir()), `tag "no tag": `)
}
