package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMachine runs a script in QEMU's place.
func TestMachine(t *testing.T) {
	const ever = time.Minute
	for _, test := range []struct {
		name, script     string
		silence, timeout time.Duration
		want             console
		err              string
	}{
		{"powers off", `echo done; for a; do case $a in file:*) echo booted >"${a#file:}";; esac; done`, ever, ever,
			console{accelerator: "tcg", port: []byte("done\n"), kernel: []byte("booted\n")}, ""},
		{"is told of its accelerator", `for a; do case $a in tcg*) echo "$a";; esac; done`, ever, ever, console{accelerator: "tcg", port: []byte("tcg,thread=single\n")}, ""},
		{"says nothing", `exec sleep 60`, 50 * time.Millisecond, ever, console{accelerator: "tcg", problem: "said nothing for 50ms"}, ""},
		{"hangs", `exec sleep 60`, ever, 50 * time.Millisecond, console{accelerator: "tcg", problem: "not done within 50ms"}, ""},
		{"does not start", `echo no such machine >&2; exit 1`, ever, ever, console{}, "run QEMU: exit status 1: no such machine"},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(folder, "qemu-system-x86_64"), []byte("#!/bin/sh\n"+test.script+"\n"), 0o755))
			t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
			got, err := machine{timeout: test.timeout}.boot(t.Context(), folder, "tcg", test.silence)
			if test.err != "" {
				require.EqualError(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, string(test.want.port), string(got.port))
			test.want.port, got.port = nil, nil
			assert.Equal(t, test.want, got)
		})
	}
}
