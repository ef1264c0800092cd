package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"
)

func TestMirror(t *testing.T) {
	sum := sha256.Sum256([]byte("a kernel"))
	var packed bytes.Buffer
	w, err := xz.NewWriter(&packed)
	require.NoError(t, err)
	_, err = w.Write([]byte("Package: linux-image\nVersion: 1\nFilename: pool/linux.deb\nSHA256: " + hex.EncodeToString(sum[:]) + "\n"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	files := map[string]string{
		"/debian/dists/sid/main/binary-amd64/Packages.xz": packed.String(),
		"/debian/pool/linux.deb":                          "a kernel",
	}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if text, ok := files[r.URL.Path]; ok {
			w.Write([]byte(text))
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	m := mirror{url: server.URL, folder: t.TempDir()}

	for range 2 {
		all, err := m.packages(t.Context(), suite{"debian", "sid"})
		require.NoError(t, err)
		require.Len(t, all, 1)
		file, err := m.deb(t.Context(), all[0])
		require.NoError(t, err)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, "a kernel", string(text))
	}
	assert.Len(t, asked, 2, "once each")

	all, err := m.packages(t.Context(), suite{"debian", "sid"})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(m.folder, "linux.deb"), []byte("bits rot"), 0o600))
	_, err = m.deb(t.Context(), all[0])
	require.NoError(t, err, "fetched anew")

	files["/debian/pool/linux.deb"] = "another kernel"
	require.NoError(t, os.Remove(filepath.Join(m.folder, "linux.deb")))
	_, err = m.deb(t.Context(), all[0])
	assert.ErrorContains(t, err, "/debian/pool/linux.deb: its SHA256 is")
	assert.NoFileExists(t, m.indexFile(all[0].Suite), "the index is not trusted any longer")
	_, err = m.packages(t.Context(), suite{"debian", "potato"})
	assert.EqualError(t, err, "fetch "+server.URL+"/debian/dists/potato/main/binary-amd64/Packages.xz: the mirror says 404 Not Found")
	left, err := filepath.Glob(filepath.Join(m.folder, "*"))
	require.NoError(t, err)
	assert.Empty(t, left, "nothing half done")
}
