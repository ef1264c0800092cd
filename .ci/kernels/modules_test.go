package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoadOrder(t *testing.T) {
	m := moduleFolder{
		files:   map[string]string{"veth": "f", "bridge": "f", "stp": "f", "llc": "f", "lonely": "f", "broken": "f"},
		builtin: map[string]bool{"dummy": true},
	}
	depends := func(name string) ([]string, error) {
		if name == "broken" {
			return nil, errors.New("bad magic number")
		}
		return map[string][]string{"bridge": {"stp", "llc"}, "stp": {"llc", "dummy"}, "lonely": {"gone"}}[name], nil
	}
	for _, test := range []struct {
		name, err    string
		wanted, want []string
	}{
		{name: "nothing"},
		{name: "needs nothing", wanted: []string{"veth"}, want: []string{"veth"}},
		{name: "built in", wanted: []string{"dummy"}},
		{name: "a dependency of two, once and first", wanted: []string{"bridge", "llc", "veth"}, want: []string{"llc", "stp", "bridge", "veth"}},
		{name: "missing", wanted: []string{"lonely", "nosuch"}, err: "no module gone, which lonely needs\nno module nosuch, which the lab needs"},
		{name: "broken", wanted: []string{"broken"}, err: "read module broken: bad magic number"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := loadOrder(test.wanted, m, depends)
			if test.err != "" {
				require.EqualError(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestModuleFolder(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "usr/lib/modules/7.3.4/kernel")
	require.NoError(t, os.MkdirAll(folder, 0o755))
	_, err := readModuleFolder(root)
	require.EqualError(t, err, "no modules below "+root)
	for name, text := range map[string]string{
		"kernel/sch-tbf.ko.xz": "not xz", "kernel/veth.ko": "plain", "modules.builtin": "kernel/net/a-b.ko\nkernel/c.ko\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, "..", name), []byte(text), 0o600))
	}
	m, err := readModuleFolder(root)
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"a_b": true, "c": true}, m.builtin)
	assert.Equal(t, map[string]string{"sch_tbf": filepath.Join(folder, "sch-tbf.ko.xz"), "veth": filepath.Join(folder, "veth.ko")}, m.files)
	text, err := m.read("veth")
	require.NoError(t, err)
	assert.Equal(t, "plain", string(text))
	_, err = m.read("sch_tbf")
	assert.ErrorContains(t, err, "unpack "+m.files["sch_tbf"])
	_, err = dependencies(text)
	assert.ErrorContains(t, err, "EOF")
}
