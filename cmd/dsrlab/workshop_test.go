package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWorkshop(t *testing.T) {
	runs := t.TempDir()
	workshop := func(args ...string) (int, string, string) {
		return command(t, append([]string{"workshop", "--runs", runs}, args...)...)
	}
	for _, test := range []struct {
		args     []string
		code     int
		out, err string
	}{
		{[]string{"show", "01-source-ip/whose"}, exitOK, "Whose address does the pod see under kube-proxy?", ""},
		{[]string{"hint", "01-source-ip/whose"}, exitOK, "The lab prints whom the pod saw", ""},
		{[]string{"solve", "01-source-ip/whose"}, exitOK, "sudo dsrlab lab run 01-source-ip", ""},
		{[]string{"verify", "01-source-ip/whose", "1.2.3.4"}, exitFailed, "", `dsrlab: "1.2.3.4" is not it`},
		{[]string{"verify", "01-source-ip/whose"}, exitUsage, "", "dsrlab: missing answer (want a text)"},
		{[]string{"verify", "01-source-ip/whose", "85.217.172.142"}, exitOK, "right", ""},
		{[]string{"verify", "01-source-ip/resets", "1"}, exitUsage, "",
			"dsrlab: missing run of your own: run the lab first: sudo dsrlab lab run 01-source-ip"},
		{[]string{"verify", "01-source-ip"}, exitUsage, "", `dsrlab: exercise "01-source-ip": want LAB/ID, as in 01-source-ip/whose`},
		{[]string{"hint", "01-source-ip/x"}, exitUsage, "", `dsrlab: lab 01-source-ip has no exercise "x"; it has whose, resets, no-rewrite`},
	} {
		code, out, err := workshop(test.args...)
		assert.Equal(t, test.code, code, test.args)
		assert.Contains(t, out, test.out, test.args)
		assert.Contains(t, err, test.err, test.args)
	}
	code, out, _ := workshop()
	assert.Equal(t, exitOK, code)
	assert.Contains(t, out, "✓ whose")
	assert.Contains(t, out, "1/3")
	require.NoError(t, os.WriteFile(filepath.Join(runs, "workshop.json"), []byte("{"), 0o644))
	code, _, err := workshop()
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, err, "workshop.json: unexpected end of JSON input")
}
