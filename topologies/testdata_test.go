package topologies

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

var update = flag.Bool("update", false, "write what the tests got into the golden files")

// golden compares text with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// testdata are the files of a pattern, by their names without extension.
func testdata(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		files[strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))] = data
	}
	return files
}

// TestInvalid holds every bad file's full error text.
func TestInvalid(t *testing.T) {
	files := testdata(t, "invalid-*.yaml")
	require.GreaterOrEqual(t, len(files), 35)
	for name, data := range files {
		t.Run(name, func(t *testing.T) {
			topology, err := Parse(name+".yaml", data)
			if err == nil {
				_, err = PlanOf(topology)
			}
			require.Error(t, err)
			var errs manifest.Errors
			require.ErrorAs(t, err, &errs)
			golden(t, name+".err", err.Error()+"\n")
		})
	}
}

func TestValid(t *testing.T) {
	files := testdata(t, "valid-*.yaml")
	require.NotEmpty(t, files)
	for name, data := range files {
		t.Run(name, func(t *testing.T) {
			topology, err := Parse(name+".yaml", data)
			require.NoError(t, err)
			_, err = PlanOf(topology)
			require.NoError(t, err)
		})
	}
}
