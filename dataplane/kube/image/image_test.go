package image

import (
	"bytes"
	"context"
	"errors"
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
	require.NoError(t, Write(t.Context(), &first, DefaultTag, folder))
	require.NoError(t, Write(t.Context(), &second, DefaultTag, folder))
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
	require.ErrorContains(t, Write(t.Context(), io.Discard, DefaultTag, t.TempDir()), "program dsrlab: ")
	require.ErrorContains(t, Write(t.Context(), io.Discard, DefaultTag, t.TempDir()), "make image makes it")
	require.ErrorContains(t, Write(t.Context(), io.Discard, "no tag", t.TempDir()), `tag "no tag": `)
}

// TestWriteEnds: not only once all is compressed.
func TestWriteEnds(t *testing.T) {
	folder := t.TempDir()
	for _, program := range programs {
		require.NoError(t, os.WriteFile(filepath.Join(folder, program), make([]byte, 1<<20), 0o755))
	}
	interrupted := errors.New("interrupted")
	ctx, end := context.WithCancelCause(t.Context())
	end(interrupted)
	var archive bytes.Buffer
	require.ErrorIs(t, Write(ctx, &archive, DefaultTag, folder), interrupted)
	assert.Zero(t, archive.Len())
}
