package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/u-root/u-root/pkg/cpio"

	"github.com/dsrlab/dsrlab/.ci/kernels/guest"
)

func TestInitramfs(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "testdata/sub"), 0o755))
	for _, name := range []string{"init.bin", "a.test", "dsrlab", "testdata/sub/x.yaml"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(name), 0o600))
	}
	b := binaries{init: filepath.Join(folder, "init.bin"), tests: []testBinary{
		{name: "dataplane", folder: filepath.Join(folder, "no testdata here"), binary: filepath.Join(folder, "a.test")},
		{name: "dataplane/services", folder: folder, binary: filepath.Join(folder, "a.test")},
	}}
	modules := moduleFolder{builtin: map[string]bool{}}
	for _, name := range neededModules() {
		modules.builtin[name] = true
	}
	file := filepath.Join(folder, "initramfs")
	require.NoError(t, writeInitramfs(file, b, modules, []string{"-test.v"}))

	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(f))
	require.NoError(t, err)
	files := map[string]string{}
	var names []string
	for _, r := range records {
		text, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		require.NoError(t, err)
		files[r.Name] = string(text)
		names = append(names, r.Name)
	}
	assert.Equal(t, []string{
		"dev", "dev/console", ".", "init", "tests", "tests/dataplane.test", "tests/dataplane", "tests/dataplane/services.test",
		"source", "source/dataplane", "source/dataplane/services", "source/dataplane/services/testdata",
		"source/dataplane/services/testdata/sub", "source/dataplane/services/testdata/sub/x.yaml", "plan.json",
	}, names, "each folder before what is in it")
	assert.Equal(t, "init.bin", files["init"])
	assert.Equal(t, "testdata/sub/x.yaml", files["source/dataplane/services/testdata/sub/x.yaml"])
	var plan guest.Plan
	require.NoError(t, json.Unmarshal([]byte(files["plan.json"]), &plan))
	assert.Equal(t, guest.Plan{Arguments: []string{"-test.v"}, Tests: []guest.Test{
		{Package: "dataplane", Folder: "/source/dataplane", Binary: "/tests/dataplane.test"},
		{Package: "dataplane/services", Folder: "/source/dataplane/services", Binary: "/tests/dataplane/services.test"},
	}}, plan)

	b.demo = []string{filepath.Join(folder, "dsrlab")}
	require.NoError(t, writeInitramfs(file, b, modules, nil))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(text), "lab/dsrlab")
	assert.Contains(t, string(text), `"demo":{"name":"demo dsr","command":["/lab/dsrlab","demo","dsr","-o","json","--runs","/tmp/runs","--scale","1/20"],"timeout":900000000000}`)

	delete(modules.builtin, "veth")
	assert.EqualError(t, writeInitramfs(file, b, modules, nil), "no module veth, which the lab needs")
}
