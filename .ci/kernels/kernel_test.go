package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFindImage(t *testing.T) {
	for _, where := range []string{"boot/vmlinuz-6.1.0-56-cloud-amd64", "usr/lib/modules/7.3.4+deb13-cloud-amd64/vmlinuz"} {
		root := t.TempDir()
		_, err := findImage(root)
		require.EqualError(t, err, "the packages hold no kernel image")
		file := filepath.Join(root, where)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		got, err := findImage(root)
		require.NoError(t, err)
		assert.Equal(t, file, got)
	}
}
